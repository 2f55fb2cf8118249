// Small files: a group of them is read, hashed side by side in the vector lanes, and stored.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "ingest.h"
#include "ingest_io.h"

namespace cfsbridge {
namespace {

void checkSize(const Item& item, const struct stat& st) {
  if (static_cast<uint64_t>(st.st_size) != item.size)
    fail("SIZE_MISMATCH", "the file has " + std::to_string(st.st_size) + " bytes, its header says " + std::to_string(item.size));
}

}  // namespace

void Ingest::openSource(Item& item, struct stat* st) {
  if (item.kind == Item::Kind::Named) item.fd = openBeneath(item.dir, item.name);
  checkRegular(item.fd.get(), st);
  if (item.kind == Item::Kind::Named) return checkSize(item, *st);
  int flags = fcntl(item.fd.get(), F_GETFL);
  if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY) fail("NOT_READABLE", "the descriptor cannot be read");
  checkSize(item, *st);
}

Outcome Ingest::storeCopy(const uint8_t* content, uint64_t size, const Digest& digest) {
  if (!policy_.copy) fail("ZERO_COPY", "the file can be neither reflinked nor hardlinked into the repository, and copying was ruled out");
  if (store_->presentAndRight(digest, size, nullptr)) return Outcome::Present;
  OwnedFd file = store_->temporary();
  writeExactly(file.get(), content, size, 0);
  return store_->publish(std::move(file), digest, size);
}

Outcome Ingest::storeSmall(Item& item, const struct stat& st, const uint8_t* content, const Digest& digest) {
  if (!policy_.store) return Outcome::Hashed;
  if (item.kind != Item::Kind::Memory) {
    if (policy_.reflink && !store_->reflinkHopeless(st.st_dev)) {
      if (store_->presentAndRight(digest, item.size, &st)) return Outcome::Present;
      if (OwnedFd clone = store_->reflink(item.fd.get(), st)) {
        if (policy_.trusted) {
          checkUnchanged(item.fd.get(), st);
        } else {
          std::unique_ptr<uint8_t[]> cloned(new uint8_t[item.size]);
          readExactly(clone.get(), cloned.get(), item.size, 0);
          if (memcmp(cloned.get(), content, item.size) != 0) fail("SOURCE_CHANGED", "the file changed while it was read");
        }
        Outcome outcome = store_->publish(std::move(clone), digest, item.size);
        return outcome == Outcome::Copied ? Outcome::Reflinked : outcome;
      }
    }
    Outcome outcome;
    if (policy_.hardlink && store_->hardlink(item.fd.get(), st, digest, policy_, &outcome)) return outcome;
    return storeCopy(content, item.size, digest);
  }
  // The content came through the stream: there is no file to share.
  if (store_->presentAndRight(digest, item.size, nullptr)) return Outcome::Present;
  OwnedFd file = store_->temporary();
  writeExactly(file.get(), content, item.size, 0);
  return store_->publish(std::move(file), digest, item.size);
}

void Ingest::runGroup(Group group) {
  Pool& pool = Pool::shared();
  Batch& batch = *group.batch;
  std::optional<StoreError> error;
  int64_t failedFile = -1;
  std::shared_ptr<uint8_t[]>& buffer = group.buffer;
  std::vector<struct stat> stats(group.items.size());
  std::vector<VerityJob> jobs;
  std::vector<const uint8_t*> contents(group.items.size());
  size_t current = 0;
  try {
    jobs.reserve(group.items.size());
    uint64_t offset = 0;
    for (current = 0; current < group.items.size(); current++) {
      Item& item = batch.items[group.items[current]];
      if (item.kind == Item::Kind::Memory) {
        contents[current] = item.data;
      } else {
        openSource(item, &stats[current]);
        readExactly(item.fd.get(), buffer.get() + offset, item.size, 0);
        contents[current] = buffer.get() + offset;
        offset += item.size;
      }
      if (item.size > kSmallLimit) jobs.push_back({contents[current], item.size, {}});
    }
    verityBatch(store_->algorithm(), jobs.data(), jobs.size());
    size_t job = 0;
    for (current = 0; current < group.items.size(); current++) {
      Item& item = batch.items[group.items[current]];
      FileResult& result = batch.results[item.result];
      if (item.size <= kSmallLimit) {
        result.outcome = Outcome::Small;
        result.length = static_cast<uint8_t>(item.size);
        memcpy(result.bytes.data(), contents[current], item.size);
      } else {
        memcpy(result.bytes.data(), jobs[job++].digest, 64);
        result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
        result.outcome = storeSmall(item, stats[current], contents[current], result.bytes);
      }
      item.fd.reset();
    }
  } catch (StoreError& caught) {
    error = std::move(caught);
    if (current < group.items.size()) failedFile = static_cast<int64_t>(batch.items[group.items[current]].result);
  }
  std::lock_guard lock(pool.mutex);
  if (error) failLocked(std::move(*error), &batch, failedFile);
  for (size_t i = 0; i < group.items.size(); i++) {
    Item& item = batch.items[group.items[i]];
    item.fd.reset();
    item.ready = true;
    if (item.kind != Item::Kind::Memory) {
      item.buffer = buffer;
      item.data = contents[i];
    }
  }
  batch.unstored -= group.items.size();
  running_--;
  settle();
  pool.wake();
}

}  // namespace cfsbridge
