// Deflate data without a header or a check, of content whose size is known.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cfsbridge {

struct ZlibStream;

// Inflates one content into memory. A thread has one at a time.
class RawInflate {
 public:
  // Whether Node lets its zlib be used.
  static bool available();

  RawInflate(uint8_t* output, size_t size);
  // The next piece of the data. Throws for what are none, or for too many of them.
  void feed(const uint8_t* data, size_t size);
  // Throws unless that was all, and the content has its size.
  void finish();

 private:
  ZlibStream& stream_;
  const size_t size_;
  bool ended_ = false;
};

}  // namespace cfsbridge
