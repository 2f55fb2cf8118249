// Digests that are known, compactly: 32 bytes each in one table (all of a SHA-256, half of a SHA-512).
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace cfsbridge {

class DigestSet {
 public:
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

  // The slot of a digest, or the free one where it would go. Digests are random enough to be their own hash.
  size_t find(const uint8_t* digest) const {
    uint64_t hash;
    memcpy(&hash, digest, sizeof hash);
    size_t at = hash & (slots_.size() - 1);
    while (used_[at] && memcmp(slots_[at].bytes, digest, sizeof(Slot)) != 0) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  void grow() {
    DigestSet larger;
    larger.slots_.resize(slots_.empty() ? 1024 : slots_.size() * 2);
    larger.used_.resize(larger.slots_.size());
    for (size_t i = 0; i < slots_.size(); i++)
      if (used_[i]) larger.insert(slots_[i].bytes);
    *this = std::move(larger);
  }

  std::vector<Slot> slots_;
  std::vector<bool> used_;
  size_t count_ = 0;
};

}  // namespace cfsbridge
