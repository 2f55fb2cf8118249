// fs-verity digests (4096-byte blocks, no salt) and plain SHA-256, as fast as the machine allows.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace cfsbridge {

enum class Algorithm { Sha256 = 1, Sha512 = 2 };  // the numbers are the kernel's
inline size_t digestSize(Algorithm algorithm) { return algorithm == Algorithm::Sha256 ? 32 : 64; }
using Digest = std::array<uint8_t, 64>;  // the first digestSize() bytes count

struct HashPlan;  // which vector kernels to use: sha_kernels.h

// Streaming fs-verity digest of one file. Not thread safe; reusable after finish(). Holds at most 64 KiB per
// level of the hash tree, whatever the size of the file; keep one per thread rather than one per file.
class VerityHasher {
 public:
  explicit VerityHasher(Algorithm algorithm);
  explicit VerityHasher(const HashPlan& plan);  // `plan` must outlive the hasher
  ~VerityHasher();
  VerityHasher(VerityHasher&&) noexcept;
  VerityHasher& operator=(VerityHasher&&) noexcept;
  void update(const void* data, size_t length);   // fastest when called with multiples of 64 KiB: nothing is copied
  void finish(uint8_t* digest);                   // digestSize() bytes; resets
  void finishAs(uint64_t size, uint8_t* digest);  // as if that many bytes had led to the blocks that were hashed
 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One of many small files hashed side by side in the vector lanes.
struct VerityJob {
  const void* data;
  size_t length;  // up to 256 KiB profits; any length is right
  uint8_t digest[64];
};
// Best with 64 jobs or more at a time; holds up to 256 KiB of its own memory during the call.
void verityBatch(Algorithm algorithm, VerityJob* jobs, size_t count);
void verityBatch(const HashPlan& plan, VerityJob* jobs, size_t count);

// Takes `count` blocks of 64 bytes into a SHA-256 state.
using Sha256Compress = void (*)(uint32_t state[8], const uint8_t* blocks, size_t count);

// Streaming SHA-256, with the CPU's SHA instructions where there are any.
class Sha256 {
 public:
  Sha256();
  explicit Sha256(Sha256Compress compress);
  void update(const void* data, size_t length);
  void finish(uint8_t digest[32]);  // resets
 private:
  void reset();
  Sha256Compress compress_;
  uint32_t h_[8];
  uint64_t total_;
  uint8_t block_[64];
};

}  // namespace cfsbridge
