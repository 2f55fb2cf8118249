// Streaming SHA-256.
#include <cstring>

#include "hash/sha_constants.h"
#include "hash/sha_kernels.h"

namespace cfsbridge {

Sha256::Sha256() : Sha256(streamKernels().front().compress) {}

Sha256::Sha256(Sha256Compress compress) : compress_(compress) { reset(); }

void Sha256::reset() {
  for (int i = 0; i < 8; i++) h_[i] = upperBits<uint32_t>(kSquareRoots[i]);
  total_ = 0;
}

void Sha256::update(const void* data, size_t length) {
  if (length == 0) return;
  const auto* bytes = static_cast<const uint8_t*>(data);
  size_t held = total_ % sizeof block_;
  total_ += length;
  if (held > 0) {
    size_t taken = length < sizeof block_ - held ? length : sizeof block_ - held;
    memcpy(block_ + held, bytes, taken);
    if (held + taken < sizeof block_) return;
    compress_(h_, block_, 1);
    bytes += taken;
    length -= taken;
  }
  if (length >= sizeof block_) compress_(h_, bytes, length / sizeof block_);
  memcpy(block_, bytes + length / sizeof block_ * sizeof block_, length % sizeof block_);
}

void Sha256::finish(uint8_t digest[32]) {
  const uint64_t bits = total_ * 8;
  size_t held = total_ % sizeof block_;
  block_[held++] = 0x80;
  if (held > 56) {
    memset(block_ + held, 0, sizeof block_ - held);
    compress_(h_, block_, 1);
    held = 0;
  }
  memset(block_ + held, 0, 56 - held);
  for (int i = 0; i < 8; i++) block_[56 + i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  compress_(h_, block_, 1);
  for (int i = 0; i < 32; i++) digest[i] = static_cast<uint8_t>(h_[i / 4] >> (24 - 8 * (i % 4)));
  reset();
}

}  // namespace cfsbridge
