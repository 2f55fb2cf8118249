// fs-verity of many small files: blocks, tree blocks and descriptors of different files share the vector lanes.
#include <algorithm>
#include <optional>

#include "hash/verity.h"
#include "hash/verity_tree.h"

namespace cfsbridge {
namespace {

// Files whose tree is in flight at the same time. More fill the lanes better, fewer stay in the L2 cache.
constexpr size_t kFilesAtOnce = 64;

// Gathers messages until every lane has one. Padded blocks live here until they are hashed.
class LaneQueue {
 public:
  explicit LaneQueue(const HashPlan& plan) : plan_(plan), padded_(new Block[plan.lanes()]) {}

  void add(const uint8_t* message, size_t length, uint8_t* digest) {
    messages_[count_] = message;
    digests_[count_++] = digest;
    if (count_ == plan_.lanes()) flush(length);
  }

  void addBlock(const uint8_t* data, size_t length, uint8_t* digest) {
    if (length == kVerityBlock) return add(data, kVerityBlock, digest);
    Block& block = padded_[count_];
    memcpy(block.bytes, data, length);
    block.zeroFrom(length);
    add(block.bytes, kVerityBlock, digest);
  }

  // Messages of one length at a time: flush before adding others.
  void flush(size_t length) {
    const size_t size = digestSize(plan_.algorithm);
    uint8_t results[kMaxLanes * 64];
    hashMessages(plan_, messages_, count_, length, results);
    for (size_t i = 0; i < count_; i++) memcpy(digests_[i], results + i * size, size);
    count_ = 0;
  }

 private:
  const HashPlan& plan_;
  std::unique_ptr<Block[]> padded_;
  const uint8_t* messages_[kMaxLanes];
  uint8_t* digests_[kMaxLanes];
  size_t count_ = 0;
};

class Batch {
 public:
  explicit Batch(const HashPlan& plan) : plan_(plan), queue_(plan) {}

  void run(VerityJob* jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
      if (jobs[i].length > mostBytes_) {
        hashLarge(jobs[i]);
        continue;
      }
      small_[smallCount_++] = &jobs[i];
      if (smallCount_ == kFilesAtOnce) hashSmall();
    }
    if (smallCount_ > 0) hashSmall();
  }

 private:
  void hashLarge(VerityJob& job) {
    if (!hasher_) hasher_.emplace(plan_);
    hasher_->update(job.data, job.length);
    hasher_->finish(job.digest);
  }

  // A quarter of a megabyte, which malloc would ask the kernel for again, page by page, for each few files.
  static Block* treeBlocks() {
    thread_local std::unique_ptr<Block[]> blocks(new Block[kFilesAtOnce]);
    return blocks.get();
  }

  void hashSmall() {
    const size_t size = digestSize(plan_.algorithm);
    Block* const trees = treeBlocks();  // of files with more than one block, by position in `small_`
    for (size_t i = 0; i < smallCount_; i++) {
      const VerityJob& job = *small_[i];
      const auto* data = static_cast<const uint8_t*>(job.data);
      descriptors_[i] = Descriptor(plan_.algorithm, job.length);
      uint8_t* digest = descriptors_[i].rootHash();
      if (job.length > kVerityBlock) {
        const size_t blocks = (job.length + kVerityBlock - 1) / kVerityBlock;
        trees[i].zeroFrom(blocks * size);
        digest = trees[i].bytes;
      }
      for (size_t offset = 0; offset < job.length; offset += kVerityBlock, digest += size)
        queue_.addBlock(data + offset, std::min(job.length - offset, kVerityBlock), digest);
    }
    queue_.flush(kVerityBlock);
    for (size_t i = 0; i < smallCount_; i++) {
      if (small_[i]->length > kVerityBlock) queue_.add(trees[i].bytes, kVerityBlock, descriptors_[i].rootHash());
    }
    queue_.flush(kVerityBlock);
    for (size_t i = 0; i < smallCount_; i++) queue_.add(descriptors_[i].bytes, kVerityDescriptor, small_[i]->digest);
    queue_.flush(kVerityDescriptor);
    smallCount_ = 0;
  }

  const HashPlan& plan_;
  // The hashes of that much data fill one block: a tree of one level above the data.
  const size_t mostBytes_ = kVerityBlock / digestSize(plan_.algorithm) * kVerityBlock;
  LaneQueue queue_;
  VerityJob* small_[kFilesAtOnce];
  size_t smallCount_ = 0;
  Descriptor descriptors_[kFilesAtOnce];
  std::optional<VerityHasher> hasher_;
};

}  // namespace

void verityBatch(const HashPlan& plan, VerityJob* jobs, size_t count) {
  if (count > 0) Batch(plan).run(jobs, count);
}

void verityBatch(Algorithm algorithm, VerityJob* jobs, size_t count) { verityBatch(bestPlan(algorithm), jobs, count); }

}  // namespace cfsbridge
