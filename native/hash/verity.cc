// Streaming fs-verity: every level of the tree gathers as many blocks as the widest kernel has lanes before
// it hashes them, so level 1 costs no more per byte than the data.
#include "hash/verity.h"

#include <array>

#include "hash/verity_tree.h"

namespace cfsbridge {

struct VerityHasher::State {
  struct Level {
    std::unique_ptr<Block[]> blocks;
    size_t used = 0;          // bytes in `blocks`
    bool hashedSome = false;  // blocks of this level were hashed before, so it is not the root
  };

  explicit State(const HashPlan& plan) : plan(plan) {}

  const HashPlan& plan;
  // Two at least: a group that is hashed when full must not be the only block of its level.
  const size_t group = plan.lanes() < 2 ? 2 : plan.lanes();
  uint64_t size = 0;
  // 2^64 bytes are 2^52 blocks, and a level has at least 2^6 times fewer blocks than the one below.
  std::array<Level, 11> levels;

  Level& opened(size_t index) {
    Level& level = levels[index];
    if (!level.blocks) level.blocks.reset(new Block[group]);
    return level;
  }

  void hashBlocks(size_t index, const uint8_t* blocks, size_t count) {
    const uint8_t* messages[kMaxLanes];
    for (size_t i = 0; i < count; i++) messages[i] = blocks + i * kVerityBlock;
    Level& above = opened(index + 1);
    hashMessages(plan, messages, count, kVerityBlock, above.blocks[0].bytes + above.used);
    above.used += count * digestSize(plan.algorithm);
    levels[index].hashedSome = true;
    if (above.used == group * kVerityBlock) {
      above.used = 0;
      hashBlocks(index + 1, above.blocks[0].bytes, group);
    }
  }

  void update(const uint8_t* data, size_t length) {
    const size_t groupBytes = group * kVerityBlock;
    Level& level = levels[0];
    size += length;
    while (length > 0) {
      if (level.used == 0 && length >= groupBytes) {
        hashBlocks(0, data, group);
        data += groupBytes;
        length -= groupBytes;
        continue;
      }
      const size_t room = groupBytes - level.used, taken = length < room ? length : room;
      memcpy(opened(0).blocks[0].bytes + level.used, data, taken);
      level.used += taken;
      data += taken;
      length -= taken;
      if (level.used == groupBytes) {
        level.used = 0;
        hashBlocks(0, level.blocks[0].bytes, group);
      }
    }
  }

  // Hashes what every level still holds, bottom up, until one level is a single block.
  void rootHash(uint8_t* root) {
    if (size == 0) return;
    for (size_t index = 0;; index++) {
      Level& level = levels[index];
      const size_t count = (level.used + kVerityBlock - 1) / kVerityBlock;
      if (count > 0 && level.used % kVerityBlock > 0) level.blocks[count - 1].zeroFrom(level.used % kVerityBlock);
      if (count == 1 && !level.hashedSome) {
        const uint8_t* message = level.blocks[0].bytes;
        return hashMessages(plan, &message, 1, kVerityBlock, root);
      }
      if (count > 0) hashBlocks(index, level.blocks[0].bytes, count);
    }
  }

  void finish(uint64_t fileSize, uint8_t* digest) {
    Descriptor descriptor(plan.algorithm, fileSize);
    rootHash(descriptor.rootHash());
    const uint8_t* message = descriptor.bytes;
    hashMessages(plan, &message, 1, kVerityDescriptor, digest);
    size = 0;
    for (Level& level : levels) {
      level.used = 0;
      level.hashedSome = false;
    }
  }
};

VerityHasher::VerityHasher(Algorithm algorithm) : VerityHasher(bestPlan(algorithm)) {}
VerityHasher::VerityHasher(const HashPlan& plan) : state_(std::make_unique<State>(plan)) {}
VerityHasher::~VerityHasher() = default;
VerityHasher::VerityHasher(VerityHasher&&) noexcept = default;
VerityHasher& VerityHasher::operator=(VerityHasher&&) noexcept = default;

void VerityHasher::update(const void* data, size_t length) {
  state_->update(static_cast<const uint8_t*>(data), length);
}
void VerityHasher::finish(uint8_t* digest) { state_->finish(state_->size, digest); }
void VerityHasher::finishAs(uint64_t size, uint8_t* digest) { state_->finish(size, digest); }

}  // namespace cfsbridge
