// The content of files: cloned, copied or written, and hashed as it is then.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/base64.h"
#include "base/file_io.h"
#include "base/limits.h"
#include "extract/extraction.h"

namespace cfsbridge {
namespace {

constexpr uint64_t kCopyStep = 8 << 20;
constexpr time_t kSettled = 2;  // seconds

[[noreturn]] void failSize(uint64_t is, uint64_t announced) {
  fail("SIZE_MISMATCH", "the file has " + std::to_string(is) + " bytes, its header says " + std::to_string(announced));
}

// As openBeneath, and waits for a file under a lease.
OwnedFd openWhenFree(int dir, std::string_view name, const CancelFlag& cancelled) {
  const auto deadline = std::chrono::steady_clock::now() + kLeaseWait;
  for (;;) {
    try {
      return openBeneath(dir, name);
    } catch (const StoreError& error) {
      if (error.code != kLeased || std::chrono::steady_clock::now() > deadline) throw;
    }
    if (cancelled.isSet()) fail("ABORTED", "aborted");
    std::this_thread::sleep_for(kLeasePause);
  }
}

}  // namespace

void Extraction::openSource(ExtractOp& op, struct stat* st) {
  if (op.kind == Operation::Named) op.fd = openWhenFree(op.dir, op.name, cancelled_);
  checkRegular(op.fd.get(), st);
  if (op.kind == Operation::Open) {
    const int flags = fcntl(op.fd.get(), F_GETFL);
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
      fail("NOT_READABLE", "the descriptor cannot be read");
  }
  if (static_cast<uint64_t>(st->st_size) != op.size) failSize(static_cast<uint64_t>(st->st_size), op.size);
}

void Extraction::fill(ExtractOp& op, const LayerEntry* entry) {
  struct stat st;
  openSource(op, &st);
  if (!op.file) return;
  if (op.size != entry->size) failContentSize();
  int refused = EOPNOTSUPP;
  if (noClone_ != st.st_dev + 1) {
    refused = ioctl(op.file.get(), FICLONE, op.fd.get()) == 0 ? 0 : errno;
    if (refused == EOPNOTSUPP || refused == EXDEV || refused == ENOTTY || refused == ENOSYS) noClone_ = st.st_dev + 1;
  }
  if (refused == 0) {
    op.way = ContentWay::Cloned;
  } else if (refused != EOPNOTSUPP && refused != EXDEV && refused != ENOTTY && refused != ENOSYS && refused != EINVAL &&
             refused != EPERM && refused != ETXTBSY) {
    failErrno(refused, "cannot clone its content");
  } else if (settings_.zeroCopy) {
    fail("ZERO_COPY",
         std::string("its content cannot be cloned (") + errnoName(refused) + "), and copying was ruled out");
  } else {
    op.way = ContentWay::Copied;
    copyContent(op.fd.get(), op.file.get(), op.size);
  }
  struct stat made;
  if (fstat(op.file.get(), &made) < 0) failErrno(errno, "cannot look at what was made");
  // All of the file is cloned, also what somebody added since.
  if (made.st_size != st.st_size) fail("SOURCE_CHANGED", "the file changed while it was read");
  if (refused == 0) keepSource(op, st);
  // What lies there is hashed, whatever becomes of the source.
  op.fd = std::move(op.file);
  // What is not in memory yet comes while others get their content.
  if (op.size <= kLargeFile)
    posix_fadvise(op.source ? op.source.get() : op.fd.get(), 0, static_cast<off_t>(op.size), POSIX_FADV_WILLNEED);
  describeFile(op.fd.get(), made, *entry);
}

// The content could be copied by whoever serves the file system, or at least without passing through here.
void Extraction::copyContent(int from, int to, uint64_t size) const {
  uint64_t done = 0;
  for (bool inKernel = true; done < size;) {
    stopIfCancelled();
    if (inKernel) {
      off_t in = static_cast<off_t>(done), out = in;
      const ssize_t got = copy_file_range(from, &in, to, &out, std::min(size - done, kCopyStep), 0);
      if (got > 0) done += static_cast<uint64_t>(got);
      if (got > 0 || (got < 0 && errno == EINTR)) continue;
      if (got == 0) failSize(done, size);
      if (errno == ENOSPC || errno == EDQUOT || errno == EIO) failErrno(errno, "cannot copy its content");
      inKernel = false;
    }
    std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadStep]);
    for (; done < size; done += std::min<uint64_t>(size - done, kReadStep)) {
      stopIfCancelled();
      const uint64_t step = std::min<uint64_t>(size - done, kReadStep);
      readExactly(from, buffer.get(), step, done);
      writeExactly(to, buffer.get(), step, done);
    }
  }
}

// As long as the time of change is that from before the clone, nothing was written since: a clone flushes what was
// written through a mapping, and the next write moves that time, which nobody can set. It has to be older than the
// kernel's clock is coarse, and of a file system that keeps it itself.
void Extraction::keepSource(ExtractOp& op, const struct stat& st) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) < 0 || now.tv_sec - st.st_ctim.tv_sec < kSettled) return;
  if (timed_ != st.st_dev + 1) {
    struct statfs of;
    if (fstatfs(op.fd.get(), &of) < 0 || (of.f_type != BTRFS_SUPER_MAGIC && of.f_type != XFS_SUPER_MAGIC)) return;
    timed_ = st.st_dev + 1;
  }
  op.source = std::move(op.fd);
  op.before = st;
}

void Extraction::hashOp(ExtractBatch& batch, ExtractOp& op) {
  switch (op.kind) {
    case Operation::Bytes:
      sha_.update(op.data, op.size);
      segment_.insert(segment_.end(), op.data, op.data + op.size);
      break;
    case Operation::Text:
      batch.text.insert(batch.text.end(), op.data, op.data + op.size);
      break;
    case Operation::Segment:
      appendBase64(batch.text, segment_.data(), segment_.size());
      segment_.clear();
      break;
    case Operation::Checksum:
      appendBase64(batch.text, checksum_, sizeof checksum_);
      break;
    case Operation::Memory:
      sha_.update(op.data, op.size);
      crc_.update(op.data, op.size);
      endContent(op.way, op.size);
      break;
    case Operation::DataBegin:
      dataWay_ = op.way;
      dataSize_ = op.size;
      break;
    case Operation::Data:
      sha_.update(op.data, op.size);
      crc_.update(op.data, op.size);
      break;
    case Operation::DataEnd:
      endContent(dataWay_, dataSize_);
      break;
    case Operation::Named:
    case Operation::Open:
      hashFile(op);
      op.fd.reset();
      op.source.reset();
      endContent(op.way, op.size);
      break;
    default:
      break;
  }
}

void Extraction::hashFile(const ExtractOp& op) {
  if (!buffer_) buffer_.reset(new uint8_t[kReadStep]);
  bool same = static_cast<bool>(op.source);
  for (uint64_t done = 0; done < op.size;) {
    stopIfCancelled();
    const uint64_t step = std::min<uint64_t>(op.size - done, kReadStep);
    same = same && readSource(op, step, done);
    if (!same) readExactly(op.fd.get(), buffer_.get(), step, done);
    sha_.update(buffer_.get(), step);
    crc_.update(buffer_.get(), step);
    done += step;
  }
}

// Returns false when the source is not certainly what was cloned.
bool Extraction::readSource(const ExtractOp& op, uint64_t size, uint64_t offset) {
  const int64_t got = readFully(op.source.get(), buffer_.get(), size, offset);
  return got == static_cast<int64_t>(size) && isUntouched(op.source.get(), op.before);
}

void Extraction::endContent(ContentWay way, uint64_t size) {
  crc_.finish(checksum_);
  if (way == ContentWay::None) return;
  counts_.files[static_cast<size_t>(way)]++;
  counts_.bytes[static_cast<size_t>(way)] += size;
}

}  // namespace cfsbridge
