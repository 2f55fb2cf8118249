#include "check/check_large.h"

#include <algorithm>
#include <cstring>

#include "base/file_io.h"
#include "hash/verity_tree.h"

namespace cfsbridge {
namespace {

// Bytes of content below one block of the tree's first level.
size_t leafBytes(Algorithm algorithm) { return kVerityBlock / digestSize(algorithm) * kVerityBlock; }

constexpr uint64_t kSegmentBytes = 4 * 1024 * 1024;

}  // namespace

SharedDigest::SharedDigest(Algorithm algorithm, uint64_t size)
    : algorithm_(algorithm),
      size_(size),
      segments_((size + kSegmentBytes - 1) / kSegmentBytes),
      digests_((size + leafBytes(algorithm) - 1) / leafBytes(algorithm) * digestSize(algorithm)) {}

void SharedDigest::hash(uint64_t segment, int fd, uint8_t* buffer) {
  const HashPlan& plan = bestPlan(algorithm_);
  const size_t leaf = leafBytes(algorithm_), digest = digestSize(algorithm_);
  const uint64_t end = std::min(size_, (segment + 1) * kSegmentBytes);
  for (uint64_t at = segment * kSegmentBytes; at < end; at += leaf) {
    Block level;
    const size_t length = static_cast<size_t>(std::min<uint64_t>(leaf, end - at));
    const size_t blocks = (length + kVerityBlock - 1) / kVerityBlock;
    for (size_t done = 0; done < length;) {
      const size_t step = std::min<size_t>(kReadStep, length - done);
      readExactly(fd, buffer, step, at + done);
      const size_t count = (step + kVerityBlock - 1) / kVerityBlock;
      memset(buffer + step, 0, count * kVerityBlock - step);
      const uint8_t* messages[kReadStep / kVerityBlock];
      for (size_t i = 0; i < count; i++) messages[i] = buffer + i * kVerityBlock;
      hashMessages(plan, messages, count, kVerityBlock, level.bytes + done / kVerityBlock * digest);
      done += step;
    }
    if (blocks * digest < kVerityBlock) level.zeroFrom(blocks * digest);
    const uint8_t* message = level.bytes;
    hashMessages(plan, &message, 1, kVerityBlock, digests_.data() + at / leaf * digest);
  }
}

void SharedDigest::finish(uint8_t* digest) {
  // The tree above the first level is that of a file which consists of that level's digests.
  VerityHasher hasher(algorithm_);
  hasher.update(digests_.data(), digests_.size());
  hasher.finishAs(size_, digest);
}

}  // namespace cfsbridge
