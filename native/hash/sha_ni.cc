// SHA-256 with the SHA extensions of x86. Their latency leaves half of the unit idle on one message,
// so two messages at once are nearly free.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "hash/sha_constants.h"
#include "hash/sha_kernels.h"

#define NI_TARGET __attribute__((target("sha,ssse3,sse4.1")))

namespace cfsbridge {
namespace {

// The instructions want the state as (a,b,e,f) and (c,d,g,h), highest element first.
struct NiState {
  __m128i abef, cdgh;
};

NI_TARGET inline NiState pack(const uint32_t state[8]) {
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xB1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1B);
  return {_mm_alignr_epi8(low, high, 8), _mm_blend_epi16(high, low, 0xF0)};
}

NI_TARGET inline void unpack(const NiState& from, uint32_t state[8]) {
  __m128i abef = _mm_shuffle_epi32(from.abef, 0x1B);
  __m128i cdgh = _mm_shuffle_epi32(from.cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(abef, cdgh, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(cdgh, abef, 8));
}

template <int N>
NI_TARGET inline void compressNi(NiState (&state)[N], const uint8_t* const* messages, size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  for (size_t offset = 0; blocks > 0; blocks--, offset += 64) {
    __m128i w[N][4];
    NiState start[N];
#pragma GCC unroll 2
    for (int n = 0; n < N; n++) start[n] = state[n];
#pragma GCC unroll 16
    for (int g = 0; g < 16; g++) {  // four rounds each
      const __m128i k = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kRoundConstants<uint32_t>.at + 4 * g));
#pragma GCC unroll 2
      for (int n = 0; n < N; n++) {
        __m128i* m = w[n];
        if (g < 4) {
          m[g] =
              _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(messages[n] + offset + 16 * g)), swap);
        } else {
          __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(m[g & 3], m[(g + 1) & 3]),
                                      _mm_alignr_epi8(m[(g + 3) & 3], m[(g + 2) & 3], 4));
          m[g & 3] = _mm_sha256msg2_epu32(sum, m[(g + 3) & 3]);
        }
        __m128i scheduled = _mm_add_epi32(m[g & 3], k);
        state[n].cdgh = _mm_sha256rnds2_epu32(state[n].cdgh, state[n].abef, scheduled);
        state[n].abef = _mm_sha256rnds2_epu32(state[n].abef, state[n].cdgh, _mm_shuffle_epi32(scheduled, 0x0E));
      }
    }
#pragma GCC unroll 2
    for (int n = 0; n < N; n++) {
      state[n].abef = _mm_add_epi32(state[n].abef, start[n].abef);
      state[n].cdgh = _mm_add_epi32(state[n].cdgh, start[n].cdgh);
    }
  }
}

struct PaddingBlock {
  uint8_t bytes[64] = {0x80};
  constexpr explicit PaddingBlock(size_t length) {
    bytes[61] = static_cast<uint8_t>(length >> 13);
    bytes[62] = static_cast<uint8_t>(length >> 5);
  }
};
constexpr PaddingBlock blockPadding(kVerityBlock), descriptorPadding(kVerityDescriptor);

template <int N>
NI_TARGET void hashNi(const uint8_t* const* messages, size_t length, uint8_t* digests) {
  uint32_t words[8];
  for (int i = 0; i < 8; i++) words[i] = upperBits<uint32_t>(kSquareRoots[i]);
  NiState state[N];
  const uint8_t* padding[N];
  for (int n = 0; n < N; n++) {
    state[n] = pack(words);
    padding[n] = (length == kVerityBlock ? blockPadding : descriptorPadding).bytes;
  }
  compressNi<N>(state, messages, length / 64);
  compressNi<N>(state, padding, 1);
  for (int n = 0; n < N; n++) {
    unpack(state[n], words);
    for (int i = 0; i < 8; i++) {
      uint32_t word = __builtin_bswap32(words[i]);
      memcpy(digests, &word, sizeof word);
      digests += sizeof word;
    }
  }
}

}  // namespace

const LaneKernel kSha256Ni = {"sha256-ni", Algorithm::Sha256, 1, hashNi<1>};
const LaneKernel kSha256NiTwice = {"sha256-ni-x2", Algorithm::Sha256, 2, hashNi<2>};

NI_TARGET void sha256CompressNi(uint32_t state[8], const uint8_t* blocks, size_t count) {
  NiState packed[1] = {pack(state)};
  compressNi<1>(packed, &blocks, count);
  unpack(packed[0], state);
}

}  // namespace cfsbridge
#endif
