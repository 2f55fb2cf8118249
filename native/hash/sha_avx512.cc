// AVX-512: 32 registers hold state and schedule of all lanes, rotations and three-input logic are one instruction.
#if defined(__x86_64__)
#define LANES_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi2")))
// The compiler finds this instruction for two operations, not for the four of the majority function.
#define LANES_IF_TERNARY(table, x, y, z)                                            \
  if constexpr (sizeof(V) == 64)                                                    \
    return (V)_mm512_ternarylogic_epi64((__m512i)x, (__m512i)y, (__m512i)z, table); \
  else                                                                              \
    return (V)_mm256_ternarylogic_epi64((__m256i)x, (__m256i)y, (__m256i)z, table);
#include <immintrin.h>

#include "hash/sha_lanes.h"

namespace cfsbridge {

const LaneKernel kSha256Avx512 = {"sha256-avx512-x16", Algorithm::Sha256, 16, hashLanes<uint32_t, 16>};
const LaneKernel kSha512Avx512 = {"sha512-avx512-x8", Algorithm::Sha512, 8, hashLanes<uint64_t, 8>};
const LaneKernel kSha512Avx512Half = {"sha512-avx512-x4", Algorithm::Sha512, 4, hashLanes<uint64_t, 4>};

}  // namespace cfsbridge
#endif
