// Constants and word functions of SHA-256 and SHA-512 (FIPS 180-4), one description for both widths.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cfsbridge {

// Fractions of the cube roots of the first 80 primes. SHA-256 uses the upper halves of the first 64.
inline constexpr uint64_t kCubeRoots[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc, 0x3956c25bf348b538,
    0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242, 0x12835b0145706fbe,
    0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2, 0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235,
    0xc19bf174cf692694, 0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5, 0x983e5152ee66dfab,
    0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4, 0xc6e00bf33da88fc2, 0xd5a79147930aa725,
    0x06ca6351e003826f, 0x142929670a0e6e70, 0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df, 0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30, 0xd192e819d6ef5218,
    0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8, 0x19a4c116b8d2d0c8, 0x1e376c085141ab53,
    0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8, 0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3, 0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b, 0xca273eceea26619c,
    0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178, 0x06f067aa72176fba, 0x0a637dc5a2c898a6,
    0x113f9804bef90dae, 0x1b710b35131c471b, 0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c, 0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

// Fractions of the square roots of the first 8 primes: the initial state, SHA-256 again with the upper halves.
inline constexpr uint64_t kSquareRoots[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

// Rotation and shift amounts, in the order of the standard: the two Σ, then the two σ (last amount a shift).
template <class Word>
struct Sha2;

template <>
struct Sha2<uint32_t> {
  static constexpr int rounds = 64;
  static constexpr int S0[3] = {2, 13, 22}, S1[3] = {6, 11, 25}, s0[3] = {7, 18, 3}, s1[3] = {17, 19, 10};
};

template <>
struct Sha2<uint64_t> {
  static constexpr int rounds = 80;
  static constexpr int S0[3] = {28, 34, 39}, S1[3] = {14, 18, 41}, s0[3] = {1, 8, 7}, s1[3] = {19, 61, 6};
};

template <class Word>
constexpr Word upperBits(uint64_t value) {
  return static_cast<Word>(value >> (64 - 8 * sizeof(Word)));
}

// The round constants as an array of words.
template <class Word>
struct RoundConstants {
  Word at[Sha2<Word>::rounds];
  constexpr RoundConstants() : at() {
    for (int i = 0; i < Sha2<Word>::rounds; i++) at[i] = upperBits<Word>(kCubeRoots[i]);
  }
};

// The block that ends every message of `Length` bytes (a multiple of the block size) depends on nothing else,
// so its message schedule is known beforehand; round constants are already added in.
template <class Word, size_t Length>
struct PaddingSchedule {
  Word at[Sha2<Word>::rounds];

  constexpr PaddingSchedule() : at() {
    using S = Sha2<Word>;
    at[0] = Word(1) << (8 * sizeof(Word) - 1);
    at[15] = Length * 8;
    for (int i = 16; i < S::rounds; i++)
      at[i] = at[i - 16] + small(S::s0, at[i - 15]) + at[i - 7] + small(S::s1, at[i - 2]);
    for (int i = 0; i < S::rounds; i++) at[i] += upperBits<Word>(kCubeRoots[i]);
  }

 private:
  static constexpr Word rotate(Word x, int n) { return Word(x >> n) | Word(x << (8 * sizeof(Word) - n)); }
  static constexpr Word small(const int (&by)[3], Word x) { return rotate(x, by[0]) ^ rotate(x, by[1]) ^ (x >> by[2]); }
};

template <class Word>
inline constexpr RoundConstants<Word> kRoundConstants;
template <class Word, size_t Length>
inline constexpr PaddingSchedule<Word, Length> kPaddingSchedule;

}  // namespace cfsbridge
