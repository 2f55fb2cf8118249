// Large files: never in memory whole, hashed twice at the same time.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ingest.h"
#include "ingest_io.h"

namespace cfsbridge {
namespace {

bool allZero(const uint8_t* data, size_t size) { return size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0; }

}  // namespace

void Ingest::hashLarge(int fd, uint64_t size, Digest& digest) {
  VerityHasher hasher(store_->algorithm());
  uint8_t* buffer = readBuffer();
  for (uint64_t offset = 0; offset < size;) {
    size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, size - offset));
    readExactly(fd, buffer, step, offset);
    hasher.update(buffer, step);
    offset += step;
    if (offset % (64 * kReadStep) == 0 && stopped()) fail("ABORTED", "aborted");
  }
  hasher.finish(digest.data());
}

// Reads once, writes what was hashed; the ordered hash reads the copy behind us, so that all three
// speak of the same bytes whatever happens to the source.
Outcome Ingest::copyLarge(Item& item, Digest& digest) {
  if (!policy_.copy) fail("ZERO_COPY", "the file can be neither reflinked nor hardlinked into the repository, and copying was ruled out");
  Pool& pool = Pool::shared();
  OwnedFd file = store_->temporary();
  if (ftruncate(file.get(), static_cast<off_t>(item.size)) < 0) failErrno(errno, "cannot size an object");
  std::string path = "/proc/self/fd/" + std::to_string(file.get());
  OwnedFd reader(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader) failErrno(errno, "cannot reopen a temporary file");
  {
    std::lock_guard lock(pool.mutex);
    if (item.available == 0) item.copy = std::move(reader);
  }
  VerityHasher hasher(store_->algorithm());
  uint8_t* buffer = readBuffer();
  for (uint64_t offset = 0; offset < item.size;) {
    size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, item.size - offset));
    readExactly(item.fd.get(), buffer, step, offset);
    hasher.update(buffer, step);
    if (!allZero(buffer, step)) writeExactly(file.get(), buffer, step, offset);
    offset += step;
    std::lock_guard lock(pool.mutex);
    if (failure_) fail("ABORTED", "aborted");
    if (item.copy) {
      item.available = offset;
      pool.wake();
    }
  }
  hasher.finish(digest.data());
  return store_->publish(std::move(file), digest, item.size);
}

Outcome Ingest::takeLarge(Item& item, const struct stat& st, Digest& digest) {
  Pool& pool = Pool::shared();
  const auto release = [&] {
    std::lock_guard lock(pool.mutex);
    item.available = item.size;
    pool.wake();
  };
  if (!policy_.store) {
    release();
    hashLarge(item.fd.get(), item.size, digest);
    return Outcome::Hashed;
  }
  if (policy_.reflink) {
    if (OwnedFd clone = store_->reflink(item.fd.get(), st)) {
      if (!policy_.trusted) {
        std::string path = "/proc/self/fd/" + std::to_string(clone.get());
        OwnedFd reader(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!reader) failErrno(errno, "cannot reopen a temporary file");
        std::lock_guard lock(pool.mutex);
        item.copy = std::move(reader);
      }
      release();
      hashLarge(policy_.trusted ? item.fd.get() : clone.get(), item.size, digest);
      if (policy_.trusted) checkUnchanged(item.fd.get(), st);
      Outcome outcome = store_->publish(std::move(clone), digest, item.size);
      return outcome == Outcome::Copied ? Outcome::Reflinked : outcome;
    }
  }
  if (policy_.hardlink && store_->hardlinkPossible(st.st_dev)) {
    release();
    hashLarge(item.fd.get(), item.size, digest);
    Outcome outcome;
    if (store_->hardlink(item.fd.get(), st, digest, policy_, &outcome)) return outcome;
  }
  return copyLarge(item, digest);
}

void Ingest::runLarge(std::shared_ptr<Batch> batch, size_t index) {
  Pool& pool = Pool::shared();
  Item& item = batch->items[index];
  FileResult& result = batch->results[item.result];
  std::optional<StoreError> error;
  try {
    struct stat st;
    openSource(item, &st);
    result.outcome = takeLarge(item, st, result.bytes);
    result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
  } catch (StoreError& caught) {
    error = std::move(caught);
  }
  std::lock_guard lock(pool.mutex);
  if (error) failLocked(std::move(*error), batch.get(), static_cast<int64_t>(item.result));
  item.available = item.size;
  item.ready = true;
  batch->unstored--;
  running_--;
  settle();
  pool.wake();
}

}  // namespace cfsbridge
