// The fs-verity digest of one large file, computed in pieces that any thread may take.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "hash/verity.h"

namespace cfsbridge {

class SharedDigest {
 public:
  SharedDigest(Algorithm algorithm, uint64_t size);
  uint64_t segments() const { return segments_; }
  // Hashes one piece, each once and in any order. `buffer` has kReadStep bytes. Throws StoreError.
  void hash(uint64_t segment, int fd, uint8_t* buffer);
  // When all pieces are done.
  void finish(uint8_t* digest);

  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> done{0};
  std::string error;  // guarded by whoever shares this

 private:
  const Algorithm algorithm_;
  const uint64_t size_;
  const uint64_t segments_;
  std::vector<uint8_t> digests_;  // of the blocks of the tree's first level, in order
};

}  // namespace cfsbridge
