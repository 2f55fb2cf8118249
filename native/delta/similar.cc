#include "delta/similar.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cfsbridge {
namespace {

// Only what agrees in so many bytes is found; the source is looked up at multiples of it.
constexpr size_t kBlock = 32;
// Where source and target agree in less than half of the bytes, a stretch ends: at the best end that was seen, when it
// got this much worse since, or went on for so long.
constexpr int64_t kWorse = 64;
constexpr size_t kFurther = 1024;
// Appliers hold one operation's data in memory, and refuse 100 MiB.
constexpr size_t kAddedPiece = 16 << 20;
constexpr size_t kDataPiece = 4 << 20;

// A hash of kBlock bytes that moves on by one byte at a time.
class RollingHash {
 public:
  explicit RollingHash(const uint8_t* block) {
    for (size_t i = 0; i < kBlock; i++) value_ = value_ * kBase + block[i];
  }
  void move(uint8_t gone, uint8_t come) { value_ = (value_ - gone * kOldest) * kBase + come; }
  uint64_t value() const { return value_ * 0x9e3779b97f4a7c15; }

 private:
  static constexpr uint64_t kBase = 0x100000001b3;
  // What the oldest byte counts.
  static constexpr uint64_t kOldest = [] {
    uint64_t power = 1;
    for (size_t i = 1; i < kBlock; i++) power *= kBase;
    return power;
  }();
  uint64_t value_ = 0;
};

// Where the blocks of a source are. Of equal ones, and of those that fall together, the first counts.
class BlockTable {
 public:
  BlockTable(const uint8_t* source, size_t size) : source_(source) {
    const size_t blocks = size / kBlock;
    shift_ = 64 - std::bit_width(std::max<size_t>(2 * blocks, 16));
    numbers_.resize(size_t{1} << (64 - shift_));
    for (size_t i = 0; i < blocks; i++) {
      uint32_t& number = numbers_[RollingHash(source + i * kBlock).value() >> shift_];
      if (number == 0) number = static_cast<uint32_t>(i + 1);
    }
  }
  std::optional<size_t> find(const RollingHash& hash, const uint8_t* block) const {
    const uint32_t number = numbers_[hash.value() >> shift_];
    if (number == 0) return std::nullopt;
    const size_t at = size_t{number - 1} * kBlock;
    if (memcmp(source_ + at, block, kBlock) != 0) return std::nullopt;
    return at;
  }

 private:
  const uint8_t* source_;
  int shift_;
  std::vector<uint32_t> numbers_;
};

// How far two byte strings agree in most bytes.
size_t agreement(const uint8_t* a, const uint8_t* b, size_t most) {
  int64_t score = 0, best = 0;
  size_t length = 0;
  for (size_t i = 0; i < most && score > best - kWorse && i - length < kFurther; i++) {
    score += a[i] == b[i] ? 1 : -1;
    if (score <= best) continue;
    best = score;
    length = i + 1;
  }
  return length;
}

class Encoder {
 public:
  Encoder(const uint8_t* source, const uint8_t* target) : source_(source), target_(target) {}

  void data(size_t from, size_t to) {
    for (size_t size; from < to; from += size) {
      size = std::min(to - from, kDataPiece);
      appendOp(ops_, PatchOp::Data, size);
      ops_.insert(ops_.end(), target_ + from, target_ + from + size);
    }
  }

  void shared(size_t source, size_t target, size_t size) {
    if (source != position_) appendOp(ops_, PatchOp::Seek, source);
    position_ = source + size;
    if (memcmp(source_ + source, target_ + target, size) == 0) return appendOp(ops_, PatchOp::Copy, size);
    for (size_t piece; size > 0; source += piece, target += piece, size -= piece) {
      piece = std::min(size, kAddedPiece);
      appendOp(ops_, PatchOp::AddData, piece);
      for (size_t i = 0; i < piece; i++)
        ops_.push_back(static_cast<uint8_t>(target_[target + i] - source_[source + i]));
    }
  }

  std::vector<uint8_t> take() { return std::move(ops_); }

 private:
  const uint8_t* source_;
  const uint8_t* target_;
  // Wherever an earlier part of the target left it.
  size_t position_ = SIZE_MAX;
  std::vector<uint8_t> ops_;
};

}  // namespace

void appendOp(std::vector<uint8_t>& to, PatchOp op, uint64_t size) {
  to.push_back(static_cast<uint8_t>(op));
  for (; size >= 0x80; size >>= 7) to.push_back(static_cast<uint8_t>(size | 0x80));
  to.push_back(static_cast<uint8_t>(size));
}

std::optional<std::vector<uint8_t>> encodeSimilar(const uint8_t* source, size_t sourceSize, const uint8_t* target,
                                                  size_t targetSize) {
  if (sourceSize < kBlock || targetSize < kBlock) return std::nullopt;
  const BlockTable table(source, sourceSize);
  Encoder encoder(source, target);
  size_t encoded = 0, at = 0;
  RollingHash hash(target);
  bool any = false;
  while (at + kBlock <= targetSize) {
    const std::optional<size_t> found = table.find(hash, target + at);
    if (!found) {
      if (at + kBlock < targetSize) hash.move(target[at], target[at + kBlock]);
      at++;
      continue;
    }
    size_t from = *found, to = at;
    while (to > encoded && from > 0 && source[from - 1] == target[to - 1]) from--, to--;
    const size_t size = agreement(source + from, target + to, std::min(sourceSize - from, targetSize - to));
    encoder.data(encoded, to);
    encoder.shared(from, to, size);
    any = true;
    encoded = at = to + size;
    if (at + kBlock <= targetSize) hash = RollingHash(target + at);
  }
  if (!any) return std::nullopt;
  encoder.data(encoded, targetSize);
  return encoder.take();
}

}  // namespace cfsbridge
