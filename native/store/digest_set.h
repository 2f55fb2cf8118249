// Digests that are known, compactly: 32 bytes each in one table (all of a SHA-256, half of a SHA-512).
#pragma once
#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace cfsbridge {

class DigestSet {
 public:
  DigestSet() : DigestSet(randomFactors()) {}

  bool contains(const uint8_t* digest) const { return !slots_.empty() && used_[find(digest)]; }

  void insert(const uint8_t* digest) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    size_t at = find(digest);
    if (used_[at]) return;
    memcpy(slots_[at].bytes, digest, sizeof(Slot));
    used_[at] = true;
    count_++;
  }

 private:
  struct Slot {
    uint8_t bytes[32];
  };

  // The slot of a digest, or the free one where it would go.
  size_t find(const uint8_t* digest) const {
    size_t at = hash(digest) & (slots_.size() - 1);
    while (used_[at] && memcmp(slots_[at].bytes, digest, sizeof(Slot)) != 0) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  // Names of damaged objects are chosen by whoever writes files, and content can be made for the first bits of its
  // digest: where two digests meet must not be predictable. The high half of a sum of products with random factors is
  // that.
  size_t hash(const uint8_t* digest) const {
    uint64_t sum = factors_[8];
    for (size_t i = 0; i < 8; i++) {
      uint32_t word;
      memcpy(&word, digest + 4 * i, sizeof word);
      sum += factors_[i] * word;
    }
    return sum >> 32;
  }

  static std::array<uint64_t, 9> randomFactors() {
    std::array<uint64_t, 9> factors;
    if (getrandom(factors.data(), sizeof factors, 0) != sizeof factors)
      throw std::runtime_error("the kernel has no random numbers");
    return factors;
  }

  void grow() {
    DigestSet larger(factors_);
    larger.slots_.resize(slots_.empty() ? 1024 : slots_.size() * 2);
    larger.used_.resize(larger.slots_.size());
    for (size_t i = 0; i < slots_.size(); i++)
      if (used_[i]) larger.insert(slots_[i].bytes);
    *this = std::move(larger);
  }

  explicit DigestSet(const std::array<uint64_t, 9>& factors) : factors_(factors) {}

  std::array<uint64_t, 9> factors_;
  std::vector<Slot> slots_;
  std::vector<bool> used_;
  size_t count_ = 0;
};

}  // namespace cfsbridge
