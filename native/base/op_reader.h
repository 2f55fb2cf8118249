// Operations as JavaScript writes them into a buffer: numbers, little endian, and bytes.
#pragma once
#include <cstdint>
#include <cstring>

#include "base/failure.h"

namespace cfsbridge {

class OpReader {
 public:
  OpReader(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool done() const { return at_ == end_; }
  template <typename T>
  T number() {
    T value;
    memcpy(&value, bytes(sizeof value), sizeof value);
    return value;
  }
  const uint8_t* bytes(size_t size) {
    if (static_cast<size_t>(end_ - at_) < size) fail("INVALID_BATCH", "operation runs past the end of the batch");
    const uint8_t* start = at_;
    at_ += size;
    return start;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace cfsbridge
