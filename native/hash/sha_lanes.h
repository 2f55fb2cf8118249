// SHA-2 over several messages side by side, written once with generic vectors. Each file that includes this
// defines LANES_TARGET, the instruction set its copy is compiled for. Everything here has internal linkage:
// two copies must never be merged by the linker.
#include <cstring>
#include <utility>

#include "hash/sha_constants.h"
#include "hash/sha_kernels.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are only ever passed to inlined functions
#ifndef LANES_IF_TERNARY
#define LANES_IF_TERNARY(table, x, y, z)
#endif
#define LANES_INLINE LANES_TARGET __attribute__((always_inline)) static inline

namespace cfsbridge {
namespace {

// `type` holds the same word of N messages; for one message that is the word itself.
template <class Word, int N>
struct Lanes {
  typedef Word type __attribute__((vector_size(sizeof(Word) * N)));
  typedef uint8_t bytes __attribute__((vector_size(sizeof(Word) * N)));
};
template <class Word>
struct Lanes<Word, 1> {
  using type = Word;
};

template <class Word>
LANES_INLINE Word bigEndian(Word word) {
  if constexpr (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
    return word;
  else if constexpr (sizeof(Word) == 4)
    return __builtin_bswap32(word);
  else
    return __builtin_bswap64(word);
}

template <class Word>
LANES_INLINE Word loadWord(const uint8_t* from) {
  Word word;
  memcpy(&word, from, sizeof word);
  return bigEndian(word);
}

template <class Word, class V>
LANES_INLINE V rotateRight(V x, int n) {
  return (x >> n) | (x << (8 * static_cast<int>(sizeof(Word)) - n));
}

template <class V>
LANES_INLINE V xor3(V x, V y, V z) {
  LANES_IF_TERNARY(0x96, x, y, z)
  return x ^ y ^ z;
}
template <class V>
LANES_INLINE V choose(V x, V y, V z) {
  LANES_IF_TERNARY(0xca, x, y, z)
  return z ^ (x & (y ^ z));
}
template <class V>
LANES_INLINE V majority(V x, V y, V z) {
  LANES_IF_TERNARY(0xe8, x, y, z)
  return ((x ^ y) & (y ^ z)) ^ y;  // y ^ z is x ^ y of the round before
}

template <class Word, class V>
LANES_INLINE V big(const int (&by)[3], V x) {
  return xor3<V>(rotateRight<Word>(x, by[0]), rotateRight<Word>(x, by[1]), rotateRight<Word>(x, by[2]));
}

template <class Word, class V>
LANES_INLINE V small(const int (&by)[3], V x) {
  return xor3<V>(rotateRight<Word>(x, by[0]), rotateRight<Word>(x, by[1]), x >> by[2]);
}

// Round `i` on a state that is never moved: the roles of the eight variables rotate instead.
template <class Word, class V>
LANES_INLINE void round(V (&s)[8], int i, V scheduled) {
  V &a = s[(0 - i) & 7], &b = s[(1 - i) & 7], &c = s[(2 - i) & 7], &d = s[(3 - i) & 7];
  V &e = s[(4 - i) & 7], &f = s[(5 - i) & 7], &g = s[(6 - i) & 7], &h = s[(7 - i) & 7];
  V t = (h + scheduled) + choose(e, f, g) + big<Word>(Sha2<Word>::S1, e);
  d += t;
  h = t + (majority(a, b, c) + big<Word>(Sha2<Word>::S0, a));
}

template <class Word, class V>
LANES_INLINE void compress(V (&state)[8], V (&w)[16]) {
  V s[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) s[i] = state[i];
  const Word* k = kRoundConstants<Word>.at;
  for (int r = 16; r < Sha2<Word>::rounds; r += 16, k += 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      round<Word>(s, i, w[i] + k[i]);
      w[i] += small<Word>(Sha2<Word>::s0, w[(i + 1) & 15]) + w[(i + 9) & 15] +
              small<Word>(Sha2<Word>::s1, w[(i + 14) & 15]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) round<Word>(s, i, w[i] + k[i]);
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

template <class Word, class V>
LANES_INLINE void compressPadding(V (&state)[8], const Word* schedule) {
  V s[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) s[i] = state[i];
  for (int r = 0; r < Sha2<Word>::rounds; r += 8) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) round<Word>(s, i, V{} + schedule[r + i]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

#ifdef __clang__
#define LANES_PICK(V, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define LANES_PICK(V, a, b, ...) __builtin_shuffle(a, b, V{__VA_ARGS__})
#endif

// One butterfly of a matrix transposition: swaps the odd groups of `step` words of `a` with the even ones of `b`.
template <class V, int N, int step, size_t... i>
LANES_INLINE void exchange(V& a, V& b, std::index_sequence<i...>) {
  V low = LANES_PICK(V, a, b, (i & step ? i - step + N : i)...);
  V high = LANES_PICK(V, a, b, (i & step ? i + N : i + step)...);
  a = low;
  b = high;
}

template <class V, int N, int step>
LANES_INLINE void transpose(V* rows) {
  if constexpr (step < N) {
#pragma GCC unroll 16
    for (int i = 0; i < N; i++) {
      if (!(i & step)) exchange<V, N, step>(rows[i], rows[i + step], std::make_index_sequence<N>());
    }
    transpose<V, N, step * 2>(rows);
  }
}

template <class Word, class Bytes, size_t... i>
LANES_INLINE Bytes swapBytes(Bytes x, std::index_sequence<i...>) {
  return LANES_PICK(Bytes, x, x, (i ^ (sizeof(Word) - 1))...);
}

// w[t] = word t of every message. Wide vectors load whole rows and transpose; narrow ones collect word by word,
// because SSE2 has no byte shuffle.
template <class Word, int N, class V>
LANES_INLINE void loadBlock(const uint8_t* const* messages, size_t offset, V (&w)[16]) {
  if constexpr (N == 1) {
#pragma GCC unroll 16
    for (int t = 0; t < 16; t++) w[t] = loadWord<Word>(messages[0] + offset + t * sizeof(Word));
  } else if constexpr (N * sizeof(Word) <= 16) {
#pragma GCC unroll 16
    for (int t = 0; t < 16; t++) {
      V words = {};
#pragma GCC unroll 4
      for (int lane = 0; lane < N; lane++) words[lane] = loadWord<Word>(messages[lane] + offset + t * sizeof(Word));
      w[t] = words;
    }
  } else {
    using Bytes = typename Lanes<Word, N>::bytes;
#pragma GCC unroll 16
    for (int half = 0; half < 16; half += N) {
#pragma GCC unroll 16
      for (int lane = 0; lane < N; lane++) {
        Bytes row;
        memcpy(&row, messages[lane] + offset + half * sizeof(Word), sizeof row);
        w[half + lane] = (V)swapBytes<Word>(row, std::make_index_sequence<sizeof row>());
      }
      transpose<V, N, 1>(w + half);
    }
  }
}

template <class Word, int N>
LANES_TARGET void hashLanes(const uint8_t* const* messages, size_t length, uint8_t* digests) {
  using V = typename Lanes<Word, N>::type;
  V state[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) state[i] = V{} + upperBits<Word>(kSquareRoots[i]);
  for (size_t offset = 0; offset < length; offset += 16 * sizeof(Word)) {
    V w[16];
    loadBlock<Word, N>(messages, offset, w);
    compress<Word>(state, w);
  }
  compressPadding<Word>(state, length == kVerityBlock ? kPaddingSchedule<Word, kVerityBlock>.at
                                                      : kPaddingSchedule<Word, kVerityDescriptor>.at);
  alignas(64) Word words[8][N];
  memcpy(words, state, sizeof words);
  for (int lane = 0; lane < N; lane++) {
    for (int i = 0; i < 8; i++) {
      Word word = bigEndian(words[i][lane]);
      memcpy(digests, &word, sizeof word);
      digests += sizeof word;
    }
  }
}

// Consecutive blocks of one message, for streaming.
template <class Word>
LANES_TARGET void compressBlocks(Word state[8], const uint8_t* blocks, size_t count) {
  Word s[8], w[16];
  memcpy(s, state, sizeof s);
  for (; count > 0; count--, blocks += sizeof w) {
    loadBlock<Word, 1>(&blocks, 0, w);
    compress<Word>(s, w);
  }
  memcpy(state, s, sizeof s);
}

}  // namespace
}  // namespace cfsbridge
