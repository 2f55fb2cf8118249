// The ways this machine can hash several equally long messages side by side, and which to use when.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hash/verity.h"

namespace cfsbridge {

inline constexpr size_t kVerityBlock = 4096;
inline constexpr size_t kVerityDescriptor = 256;
inline constexpr size_t kMaxLanes = 16;

// Hashes `lanes` messages of `length` bytes, kVerityBlock or kVerityDescriptor, and writes their
// digests one after the other.
struct LaneKernel {
  const char* name;
  Algorithm algorithm;
  size_t lanes;
  void (*hash)(const uint8_t* const* messages, size_t length, uint8_t* digests);
};

// A kernel, and from how many messages on one call of it is the quickest way even with lanes left empty.
struct PlanStep {
  const LaneKernel* kernel;
  size_t atLeast;
};

// Kernels to use for one algorithm, widest first; the last one takes single messages.
struct HashPlan {
  Algorithm algorithm;
  PlanStep steps[3];
  size_t lanes() const { return steps[0].kernel->lanes; }
};

// The quickest plan on this CPU.
const HashPlan& bestPlan(Algorithm algorithm);

// Every kernel this CPU can run.
const std::vector<const LaneKernel*>& laneKernels();

// Hashes any number of messages of `length` bytes; digests are written one after the other.
void hashMessages(const HashPlan& plan, const uint8_t* const* messages, size_t count, size_t length, uint8_t* digests);

// A way to take blocks into a streaming SHA-256.
struct StreamKernel {
  const char* name;
  Sha256Compress compress;
};

// Those this CPU can run, the quickest first.
const std::vector<StreamKernel>& streamKernels();

// The kernels themselves, one file per instruction set. Only sha_plan.cc picks from them.
extern const LaneKernel kSha256Lanes4, kSha512Lanes2, kSha256Scalar, kSha512Scalar;
void sha256CompressPortable(uint32_t state[8], const uint8_t* blocks, size_t count);
#if defined(__x86_64__)
extern const LaneKernel kSha256Avx2, kSha512Avx2, kSha256Bmi2, kSha512Bmi2;
extern const LaneKernel kSha256Avx512, kSha512Avx512, kSha512Avx512Half;
extern const LaneKernel kSha256Ni, kSha256NiTwice;
void sha256CompressBmi2(uint32_t state[8], const uint8_t* blocks, size_t count);
void sha256CompressNi(uint32_t state[8], const uint8_t* blocks, size_t count);
#endif

}  // namespace cfsbridge
