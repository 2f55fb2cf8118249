// fs-verity digests (4096-byte blocks, no salt) and plain SHA-256, as fast as the machine allows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace cfsbridge {

enum class Algorithm { Sha256 = 1, Sha512 = 2 };  // the numbers are the kernel's
inline size_t digestSize(Algorithm algorithm) { return algorithm == Algorithm::Sha256 ? 32 : 64; }

// Streaming fs-verity digest of one file. Not thread safe; reusable after finish().
class VerityHasher {
 public:
  explicit VerityHasher(Algorithm algorithm);
  ~VerityHasher();
  VerityHasher(VerityHasher&&) noexcept;
  VerityHasher& operator=(VerityHasher&&) noexcept;
  void update(const void* data, size_t length);  // fastest when called with multiples of 64 KiB
  void finish(uint8_t* digest);                   // digestSize() bytes; resets
 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One of many small files hashed side by side in the vector lanes.
struct VerityJob {
  const void* data;
  size_t length;     // at most 4096 bytes profits; any length is right
  uint8_t digest[64];
};
void verityBatch(Algorithm algorithm, VerityJob* jobs, size_t count);

// Streaming SHA-256, with the CPU's SHA instructions where there are any.
class Sha256 {
 public:
  Sha256();
  void update(const void* data, size_t length);
  void finish(uint8_t digest[32]);  // resets
 private:
  uint32_t h_[8];
  uint64_t total_;
  uint8_t block_[64];
};

}  // namespace cfsbridge
