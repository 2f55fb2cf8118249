// The work itself: reading, hashing and storing the files of a layer, and its ordered SHA-256.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "ingest.h"

namespace cfsbridge {
namespace {

void readExactly(int fd, uint8_t* into, uint64_t size, uint64_t offset) {
  while (size > 0) {
    ssize_t got = pread(fd, into, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) failErrno(errno, "cannot read content");
    if (got == 0) fail("SIZE_MISMATCH", "content ended " + std::to_string(size) + " bytes early");
    into += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
}

bool allZero(const uint8_t* data, size_t size) { return size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0; }

void writeExactly(int fd, const uint8_t* data, uint64_t size, uint64_t offset) {
  while (size > 0) {
    ssize_t put = pwrite(fd, data, size, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) failErrno(errno, "cannot write an object");
    data += put;
    offset += static_cast<uint64_t>(put);
    size -= static_cast<uint64_t>(put);
  }
}

uint8_t* readBuffer() {
  thread_local std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadStep]);
  return buffer.get();
}

// A change of content moves ctime (or size); a trusted owner has no way around that.
void checkUnchanged(int fd, const struct stat& before) {
  struct stat now;
  if (fstat(fd, &now) < 0) failErrno(errno, "cannot stat content");
  if (now.st_size != before.st_size || now.st_ctim.tv_sec != before.st_ctim.tv_sec || now.st_ctim.tv_nsec != before.st_ctim.tv_nsec)
    fail("SOURCE_CHANGED", "the file changed while it was read");
}

}  // namespace

void Ingest::openSource(Item& item, struct stat* st) {
  if (item.kind == Item::Kind::Named) {
    std::string name(item.name);
    open_how how = {};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    int fd;
    do {
      fd = static_cast<int>(syscall(SYS_openat2, item.dir, name.c_str(), &how, sizeof how));
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0) failErrno(errno, "cannot open content");
    item.fd.reset(fd);
  }
  if (fstat(item.fd.get(), st) < 0) failErrno(errno, "cannot stat content");
  if (!S_ISREG(st->st_mode)) fail("NOT_A_FILE", "content must be in a regular file");
  int flags = fcntl(item.fd.get(), F_GETFL);
  if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY) fail("NOT_READABLE", "the descriptor cannot be read");
  if (static_cast<uint64_t>(st->st_size) != item.size)
    fail("SIZE_MISMATCH", "the file has " + std::to_string(st->st_size) + " bytes, its header says " + std::to_string(item.size));
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

void Ingest::beginData(uint64_t size) {
  data_.emplace(Data{policy_.store ? store_->temporary() : OwnedFd(), VerityHasher(store_->algorithm()), size});
}

void Ingest::endData(FileResult& result) {
  if (!data_ || data_->written != data_->expected) fail("SIZE_MISMATCH", "content ended early");
  data_->hasher.finish(result.bytes.data());
  result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
  result.outcome = policy_.store ? store_->publish(std::move(data_->file), result.bytes, data_->expected) : Outcome::Hashed;
  data_.reset();
}

void Ingest::drainItem(Item& item, Batch& batch, uint64_t available) {
  switch (item.kind) {
    case Item::Kind::DataBegin:
      return beginData(item.size);
    case Item::Kind::DataEnd:
      return endData(batch.results[item.result]);
    case Item::Kind::Data:
      if (!data_ || data_->written + item.size > data_->expected) fail("SIZE_MISMATCH", "more content than announced");
      data_->hasher.update(item.data, item.size);
      if (data_->file) writeExactly(data_->file.get(), item.data, item.size, data_->written);
      data_->written += item.size;
      break;
    default:
      break;
  }
  if (!item.large) return sha_.update(item.data, item.size);
  int fd = item.copy ? item.copy.get() : item.fd.get();
  uint8_t* buffer = readBuffer();
  while (item.hashed < available) {
    size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, available - item.hashed));
    readExactly(fd, buffer, step, item.hashed);
    sha_.update(buffer, step);
    item.hashed += step;
  }
}

void Ingest::runDrain() {
  Pool& pool = Pool::shared();
  std::unique_lock lock(pool.mutex);
  while (!failure_ && drainable()) {
    std::shared_ptr<Batch> batch = batches_[drainBatch_];
    // As many items as are ready, hashed in one go without the lock.
    size_t first = batch->drained, end = first;
    uint64_t available = 0;
    for (; end < batch->items.size() && end - first < 256; end++) {
      const Item& item = batch->items[end];
      if (item.isFile() && !item.large && !item.ready) break;
      if (item.large) {
        if (end == first) {
          available = std::min(item.available, item.hashed + 16 * 1024 * 1024);
          end++;
        }
        break;
      }
    }
    lock.unlock();
    std::optional<StoreError> error;
    int64_t failedFile = -1;
    for (size_t i = first; i < end; i++) {
      Item& item = batch->items[i];
      try {
        drainItem(item, *batch, available);
      } catch (StoreError& caught) {
        error = std::move(caught);
        failedFile = item.isFile() || item.kind == Item::Kind::DataEnd ? static_cast<int64_t>(item.result) : -1;
        break;
      }
      item.buffer.reset();
    }
    lock.lock();
    pool.wake();  // blocks have come back
    if (error) {
      failLocked(std::move(*error), batch.get(), failedFile);
      break;
    }
    Item& last = batch->items[end - 1];
    if (!last.large) batch->drained = end;
    else if (last.ready && last.hashed == last.size) {
      last.fd.reset();
      last.copy.reset();
      batch->drained = end;
    }
    settle();
  }
  draining_ = false;
  running_--;
  settle();
  pool.wake();
}

}  // namespace cfsbridge
