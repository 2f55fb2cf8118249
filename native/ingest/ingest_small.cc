// Small files: a group of them is read, hashed side by side in the vector lanes, and stored.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "ingest/ingest.h"
#include "ingest/pool.h"
#include "base/file_io.h"
#include "compress/raw_inflate.h"

namespace cfsbridge {
namespace {

void checkSize(const Item& item, const struct stat& st) {
  if (static_cast<uint64_t>(st.st_size) != item.size)
    cfsbridge::fail("SIZE_MISMATCH", "the file has " + std::to_string(st.st_size) + " bytes, its header says " +
                                         std::to_string(item.size));
}

static_assert(kInflatable <= kGroupBytes);
constexpr size_t kInflateStep = 64 * 1024;

void inflateFile(const Item& item, uint8_t* content) {
  std::unique_ptr<uint8_t[]> piece(new uint8_t[kInflateStep]);
  RawInflate inflate(content, item.size);
  for (uint32_t at = 0; at < item.storedSize;) {
    const size_t size = std::min<size_t>(kInflateStep, item.storedSize - at);
    fromSource([&] { readExactly(item.fd.get(), piece.get(), size, item.start + at); });
    inflate.feed(piece.get(), size);
    at += static_cast<uint32_t>(size);
  }
  inflate.finish();
}

}  // namespace

void Ingest::openSource(Item& item, struct stat* st) {
  if (item.kind == Operation::Named) item.fd = openBeneath(item.dir, item.name, policy_.trusted);
  checkRegular(item.fd.get(), st);
  if (item.kind == Operation::Named) return checkSize(item, *st);
  int flags = fcntl(item.fd.get(), F_GETFL);
  if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
    cfsbridge::fail("NOT_READABLE", "the descriptor cannot be read");
  checkSize(item, *st);
}

// `allowed`: whatever the policy says of copies.
Outcome Ingest::storeCopy(const uint8_t* content, uint64_t size, const Digest& digest, bool allowed) {
  if (!policy_.copy && !allowed) failZeroCopy();
  if (store_->presentAndRight(digest, size, nullptr)) return Outcome::Present;
  OwnedFd file = store_->temporary();
  writeExactly(file.get(), content, size, 0);
  return store_->publish(std::move(file), digest, size);
}

// What is linked is remembered in any case: there is room for it before it is.
LinkResult Ingest::link(Item& item, const struct stat& st, const Digest& digest) {
  {
    std::lock_guard lock(linkedMutex_);
    if (linked_.capacity() <= linked_.size() + linking_) linked_.reserve(2 * (linked_.size() + linking_) + 64);
    linking_++;
  }
  LinkResult result = LinkResult::Impossible;
  const auto note = [&] {
    std::lock_guard lock(linkedMutex_);
    linking_--;
    if (result == LinkResult::Linked) linked_.push_back({digest, st.st_ino});
  };
  try {
    result = store_->hardlink(item.fd.get(), st, digest, policy_);
  } catch (...) {
    note();
    throw;
  }
  note();
  return result;
}

void Ingest::withdrawWrong() {
  std::vector<Linked> linked;
  {
    std::lock_guard lock(linkedMutex_);
    linked.swap(linked_);
  }
  for (const Linked& object : linked) store_->withdrawIfWrong(object.digest, object.inode);
}

Outcome Ingest::storeSmall(Item& item, const struct stat& st, const uint8_t* content, const Digest& digest) {
  if (!policy_.store) return Outcome::Hashed;
  if (item.isPlain()) {
    if (policy_.reflink && !store_->reflinkHopeless(st.st_dev)) {
      if (store_->presentAndRight(digest, item.size, &st)) return Outcome::Present;
      if (OwnedFd clone = store_->reflink(item.fd.get(), st)) {
        if (policy_.trusted) {
          fromSource([&] { checkUnchanged(item.fd.get(), st); });
        } else {
          std::unique_ptr<uint8_t[]> cloned(new uint8_t[item.size]);
          readExactly(clone.get(), cloned.get(), item.size, 0);
          if (memcmp(cloned.get(), content, item.size) != 0)
            cfsbridge::fail("SOURCE_CHANGED", "the file changed while it was read");
        }
        Outcome outcome = store_->publish(std::move(clone), digest, item.size);
        return outcome == Outcome::Copied ? Outcome::Reflinked : outcome;
      }
    }
    const LinkResult linked = policy_.hardlink ? link(item, st, digest) : LinkResult::Impossible;
    if (linked == LinkResult::Linked) return Outcome::Hardlinked;
    if (linked == LinkResult::Present) return Outcome::Present;
    const Outcome outcome = storeCopy(content, item.size, digest, linked != LinkResult::Impossible);
    return outcome == Outcome::Copied && linked == LinkResult::Refused ? Outcome::Unshareable : outcome;
  }
  // The content came through the stream: there is no file to share.
  if (store_->presentAndRight(digest, item.size, nullptr)) return Outcome::Present;
  OwnedFd file = store_->temporary();
  writeExactly(file.get(), content, item.size, 0);
  return store_->publish(std::move(file), digest, item.size);
}

// Its files are read later; what waits meanwhile is this layer, and none of the threads.
void Ingest::postpone(Group& group) {
  for (size_t index : group.items) {
    Item& item = group.batch->items[index];
    if (item.kind == Operation::Named) item.fd.reset();
  }
  group.buffer.reset();
  const auto lock = Pool::shared().lock();
  nextTry_ = Clock::now() + kLeasePause;
  if (!group.leased) group.leased = Clock::now();
  leased_.push_back(std::move(group));
}

// Content that is not in memory yet.
void Ingest::readContent(Item& item, struct stat* st, uint8_t* content) {
  if (item.kind == Operation::DeflatedFile) return inflateFile(item, content);
  if (item.kind == Operation::Deflated) {
    RawInflate inflate(content, item.size);
    inflate.feed(item.data, item.storedSize);
    return inflate.finish();
  }
  fromSource([&] {
    openSource(item, st);
    readExactly(item.fd.get(), content, item.size, 0);
  });
}

// Reads, hashes and stores the files; `current` is the one that it is at.
void Ingest::readGroup(Group& group, SourceRead& reading, size_t& current) {
  Batch& batch = *group.batch;
  uint8_t* const buffer = group.buffer.get();
  std::vector<struct stat> stats(group.items.size());
  std::vector<VerityJob> jobs;
  jobs.reserve(group.items.size());
  uint64_t offset = 0;
  for (current = 0; current < group.items.size(); current++) {
    Item& item = batch.items[group.items[current]];
    if (item.kind != Operation::Memory) {
      reading.result.store(static_cast<int64_t>(item.result), std::memory_order_relaxed);
      readContent(item, &stats[current], buffer + offset);
      item.data = buffer + offset;
      offset += item.size;
    }
    if (item.size > kSmallLimit) jobs.push_back({item.data, item.size, {}});
  }
  verityBatch(store_->algorithm(), jobs.data(), jobs.size());
  size_t job = 0;
  for (current = 0; current < group.items.size(); current++) {
    Item& item = batch.items[group.items[current]];
    FileResult& result = batch.results[item.result];
    if (item.size <= kSmallLimit) {
      result.outcome = Outcome::Small;
      result.length = static_cast<uint8_t>(item.size);
      memcpy(result.bytes.data(), item.data, item.size);
    } else {
      memcpy(result.bytes.data(), jobs[job++].digest, 64);
      result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
      result.outcome = storeSmall(item, stats[current], item.data, result.bytes);
    }
    item.fd.reset();
  }
}

void Ingest::runGroup(Group group, const std::shared_ptr<SourceRead>& reading) {
  Batch& batch = *group.batch;
  std::exception_ptr error;
  size_t current = 0;
  try {
    readGroup(group, *reading, current);
  } catch (...) {
    error = std::current_exception();
  }
  if (isLeased(error) && Clock::now() - group.leased.value_or(Clock::now()) < kLeaseWait) return postpone(group);
  const int64_t failedFile =
      error && current < group.items.size() ? static_cast<int64_t>(batch.items[group.items[current]].result) : -1;
  // Not with the lock: closing, too, may wait for whoever serves the file.
  for (size_t index : group.items) batch.items[index].fd.reset();
  const auto lock = Pool::shared().lock();
  if (error) failLocked(std::move(error), &batch, failedFile);
  for (size_t index : group.items) {
    Item& item = batch.items[index];
    item.ready = true;
    if (item.kind != Operation::Memory) item.buffer = group.buffer;
  }
  batch.unstored -= group.items.size();
}

void failZeroCopy() {
  cfsbridge::fail("ZERO_COPY",
                  "the file can be neither reflinked nor hardlinked into the repository, and copying was ruled out");
}

}  // namespace cfsbridge
