#include "socket/part_sender.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/file_io.h"

namespace cfsbridge {
namespace {

constexpr uint64_t kBuffer = 256 * 1024;
// From here on a file is worth a call of its own.
constexpr uint64_t kTransfer = 64 * 1024;
constexpr int kPollMilliseconds = 100;

// Writing to a reader that has gone to sleep must not keep the thread forever.
class NonBlocking {
 public:
  explicit NonBlocking(int fd) : fd_(fd) {
    struct stat st;
    if (fstat(fd, &st) < 0) failErrno(errno, "cannot stat the output");
    if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)) return;
    flags_ = fcntl(fd, F_GETFL);
    if (flags_ >= 0 && !(flags_ & O_NONBLOCK)) changed_ = fcntl(fd, F_SETFL, flags_ | O_NONBLOCK) == 0;
  }
  ~NonBlocking() {
    if (changed_) fcntl(fd_, F_SETFL, flags_);
  }

 private:
  int fd_;
  int flags_ = 0;
  bool changed_ = false;
};

}  // namespace

PartSender::PartSender(int out, int64_t position, uint64_t limit, std::vector<Part> parts, CancelFlag cancelled)
    : out_(out),
      position_(position),
      limit_(limit),
      parts_(std::move(parts)),
      cancelled_(cancelled),
      buffer_(new uint8_t[kBuffer]) {}

void PartSender::run() {
  NonBlocking guard(out_);
  for (; current_ < parts_.size(); current_++) {
    checkCancelled();
    Part& part = parts_[current_];
    if (part.bytes) checkLimit(part.size);
    if (!part.bytes) {
      sendWhenFree(part);
    } else if (length_ + part.size <= kBuffer) {
      memcpy(buffer_.get() + length_, part.bytes, part.size);
      length_ += part.size;
    } else {
      flush();
      write(part.bytes, part.size);
    }
  }
  flush();
}

// The caller writes the rest later: this thread belongs to everybody, and a lease may last.
void PartSender::sendWhenFree(Part& part) {
  try {
    sendFile(part);
  } catch (StoreError& error) {
    if (error.code != kLeased) throw;
    const size_t leased = current_;
    flush();
    current_ = leased;
    for (size_t rest = current_; rest < parts_.size(); rest++) parts_[rest].fd.release();
    throw;
  }
}

void PartSender::sendFile(Part& part) {
  struct stat st;
  OwnedFd fd = part.fd ? std::move(part.fd) : openBeneath(part.dir, part.name);
  checkRegular(fd.get(), &st);
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  if (part.size != kAnySize && part.size != size)
    fail("CONTENT_SIZE",
         "file content of " + std::to_string(size) + " bytes where " + std::to_string(part.size) + " were announced");
  checkLimit(size);
  if (size >= kTransfer && position_ < 0)
    transfer(fd.get(), size);
  else
    gather(fd.get(), size, 0);
}

void PartSender::checkLimit(uint64_t size) const {
  if (size > limit_ - written_ - length_) fail("TOO_MUCH", "more bytes than there may be");
}

void PartSender::checkCancelled() const {
  if (cancelled_.isSet()) fail("ABORTED", "stopped");
}

// Without a copy in this process.
void PartSender::transfer(int fd, uint64_t size) {
  flush();
  off_t offset = 0;
  while (static_cast<uint64_t>(offset) < size) {
    checkCancelled();
    const ssize_t sent =
        sendfile(out_, fd, &offset, std::min<uint64_t>(size - static_cast<uint64_t>(offset), 16 << 20));
    if (sent > 0) {
      written_ += static_cast<uint64_t>(sent);
    } else if (sent == 0) {
      fail("CONTENT_SIZE", "the file ended " + std::to_string(size - static_cast<uint64_t>(offset)) + " bytes early");
    } else if (errno == EAGAIN) {
      waitForRoom();
    } else if (errno == EINVAL || errno == ENOSYS || errno == EIO) {
      // Not to a file that is only added to, for one; and reading tells which of the two is broken.
      return gather(fd, size, static_cast<uint64_t>(offset));
    } else if (errno != EINTR) {
      failOutput(errno);
    }
  }
}

void PartSender::gather(int fd, uint64_t size, uint64_t offset) {
  while (offset < size) {
    if (length_ == kBuffer) flush();
    const uint64_t count = std::min(size - offset, kBuffer - length_);
    readExactly(fd, buffer_.get() + length_, count, offset);
    length_ += count;
    offset += count;
  }
}

void PartSender::flush() {
  write(buffer_.get(), length_);
  length_ = 0;
}

void PartSender::write(const uint8_t* data, uint64_t size) {
  while (size > 0) {
    checkCancelled();
    const ssize_t put = position_ < 0 ? ::write(out_, data, size) : pwrite(out_, data, size, position_);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      waitForRoom();
      continue;
    }
    if (put < 0) failOutput(errno);
    if (position_ >= 0) position_ += put;
    written_ += static_cast<uint64_t>(put);
    data += put;
    size -= static_cast<uint64_t>(put);
  }
}

void PartSender::failOutput(int error) {
  current_ = parts_.size();
  failErrno(error, "cannot write");
}

void PartSender::waitForRoom() {
  pollfd room{out_, POLLOUT, 0};
  while (poll(&room, 1, kPollMilliseconds) <= 0) checkCancelled();
}

}  // namespace cfsbridge
