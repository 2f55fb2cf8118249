// The polynomial has so few terms that no tables are needed: x^64 is x^4 + x^3 + x + 1, and of the powers of that by 2,
// 4 and 8 each has four terms again. So words that are four apart can be folded side by side: x^256 is
// x^16 + x^12 + x^4 + 1.
#include "extract/crc64.h"

#include <cstring>

namespace cfsbridge {
namespace {

constexpr size_t kLanes = 4;

// Of reflected words: the lowest bit is the highest power, so a shift to the right multiplies by x.
inline uint64_t timesX64(uint64_t word) {
  const uint64_t over = (word << 60) ^ (word << 61) ^ (word << 63);
  return word ^ (word >> 1) ^ (word >> 3) ^ (word >> 4) ^ over ^ (over >> 1) ^ (over >> 3) ^ (over >> 4);
}

inline uint64_t timesX256(uint64_t word) {
  const uint64_t over = (word << 48) ^ (word << 52) ^ (word << 60);
  return word ^ (word >> 4) ^ (word >> 12) ^ (word >> 16) ^ over ^ (over >> 1) ^ (over >> 3) ^ (over >> 4);
}

inline uint64_t timesX8(uint64_t word) {
  const uint64_t over = word << 56;
  return (word >> 8) ^ over ^ (over >> 1) ^ (over >> 3) ^ (over >> 4);
}

inline uint64_t load(const uint8_t* from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  if constexpr (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) word = __builtin_bswap64(word);
  return word;
}

}  // namespace

void Crc64::update(const uint8_t* data, size_t size) {
  uint64_t state = state_;
  constexpr size_t step = kLanes * sizeof(uint64_t);
  if (size >= 2 * step) {
    uint64_t lanes[kLanes];
    for (size_t i = 0; i < kLanes; i++) lanes[i] = load(data + i * sizeof(uint64_t));
    lanes[0] ^= state;
    for (data += step, size -= step; size >= step; data += step, size -= step)
      for (size_t i = 0; i < kLanes; i++) lanes[i] = timesX256(lanes[i]) ^ load(data + i * sizeof(uint64_t));
    state = 0;
    for (size_t i = 0; i < kLanes; i++) state = timesX64(state ^ lanes[i]);
  }
  for (; size >= sizeof(uint64_t); data += sizeof(uint64_t), size -= sizeof(uint64_t))
    state = timesX64(state ^ load(data));
  for (; size > 0; data++, size--) state = timesX8(state ^ *data);
  state_ = state;
}

void Crc64::finish(uint8_t out[8]) {
  const uint64_t crc = ~state_;
  for (int i = 0; i < 8; i++) out[i] = static_cast<uint8_t>(crc >> (56 - 8 * i));
  state_ = ~uint64_t{0};
}

}  // namespace cfsbridge
