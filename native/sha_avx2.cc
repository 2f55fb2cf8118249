// AVX2 lanes, and single SHA-512 with the three-operand rotations that come with it.
#if defined(__x86_64__)
#define LANES_TARGET __attribute__((target("avx2,bmi,bmi2")))
#include "sha_lanes.h"

namespace cfsbridge {

const LaneKernel kSha256Avx2 = {"sha256-avx2-x8", Algorithm::Sha256, 8, hashLanes<uint32_t, 8>};
const LaneKernel kSha512Avx2 = {"sha512-avx2-x4", Algorithm::Sha512, 4, hashLanes<uint64_t, 4>};
const LaneKernel kSha512Bmi2 = {"sha512-bmi2", Algorithm::Sha512, 1, hashLanes<uint64_t, 1>};

}  // namespace cfsbridge
#endif
