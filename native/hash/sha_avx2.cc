// AVX2 lanes, and single messages with the three-operand rotations of BMI2, which every CPU with AVX2 has.
#if defined(__x86_64__)
#define LANES_TARGET __attribute__((target("avx2,bmi,bmi2")))
#include "hash/sha_lanes.h"

namespace cfsbridge {

const LaneKernel kSha256Avx2 = {"sha256-avx2-x8", Algorithm::Sha256, 8, hashLanes<uint32_t, 8>};
const LaneKernel kSha512Avx2 = {"sha512-avx2-x4", Algorithm::Sha512, 4, hashLanes<uint64_t, 4>};
const LaneKernel kSha512Bmi2 = {"sha512-bmi2", Algorithm::Sha512, 1, hashLanes<uint64_t, 1>};
const LaneKernel kSha256Bmi2 = {"sha256-bmi2", Algorithm::Sha256, 1, hashLanes<uint32_t, 1>};

void sha256CompressBmi2(uint32_t state[8], const uint8_t* blocks, size_t count) {
  compressBlocks(state, blocks, count);
}

}  // namespace cfsbridge
#endif
