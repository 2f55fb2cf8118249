// CRC-64/ISO, which tar-split has of each file: reflected, begun with and finished by all ones.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cfsbridge {

class Crc64 {
 public:
  void update(const uint8_t* data, size_t size);
  // Eight bytes, big endian; resets.
  void finish(uint8_t out[8]);

 private:
  uint64_t state_ = ~uint64_t{0};
};

}  // namespace cfsbridge
