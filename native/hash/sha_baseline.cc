// What every CPU of the architecture can run: 128-bit vectors (SSE2, NEON) and plain words.
#define LANES_TARGET
#include "hash/sha_lanes.h"

namespace cfsbridge {

const LaneKernel kSha256Lanes4 = {"sha256-128bit-x4", Algorithm::Sha256, 4, hashLanes<uint32_t, 4>};
const LaneKernel kSha512Lanes2 = {"sha512-128bit-x2", Algorithm::Sha512, 2, hashLanes<uint64_t, 2>};
const LaneKernel kSha256Scalar = {"sha256-portable", Algorithm::Sha256, 1, hashLanes<uint32_t, 1>};
const LaneKernel kSha512Scalar = {"sha512-portable", Algorithm::Sha512, 1, hashLanes<uint64_t, 1>};

void sha256CompressPortable(uint32_t state[8], const uint8_t* blocks, size_t count) {
  compressBlocks(state, blocks, count);
}

}  // namespace cfsbridge
