// What streaming and batched fs-verity hashing share: a block of the tree and the descriptor that is hashed last.
#pragma once
#include <cstring>

#include "hash/sha_kernels.h"

namespace cfsbridge {

struct alignas(64) Block {
  uint8_t bytes[kVerityBlock];

  void zeroFrom(size_t offset) { memset(bytes + offset, 0, sizeof bytes - offset); }
};

// struct fsverity_descriptor of the kernel, unsalted. An empty file has no block: its root hash is zero.
struct alignas(64) Descriptor {
  uint8_t bytes[kVerityDescriptor] = {};

  Descriptor() = default;
  Descriptor(Algorithm algorithm, uint64_t fileSize) {
    bytes[0] = 1;  // version
    bytes[1] = static_cast<uint8_t>(algorithm);
    bytes[2] = 12;  // log2 of the block size
    for (int i = 0; i < 8; i++) bytes[8 + i] = static_cast<uint8_t>(fileSize >> (8 * i));
  }
  uint8_t* rootHash() { return bytes + 16; }
};

}  // namespace cfsbridge
