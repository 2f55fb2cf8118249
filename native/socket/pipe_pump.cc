#include "socket/pipe_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/file_io.h"
#include "base/hex.h"

namespace cfsbridge {
namespace {

constexpr uint64_t kBuffer = 256 * 1024;
// A reader that is only a little slower is waited for here: to come back costs more than that. One that sleeps must not
// keep the thread.
constexpr int kPatience = 5;  // milliseconds

}  // namespace

PipePump::PipePump(OwnedFd out, bool hashing)
    : out_(std::move(out)), hashing_(hashing), buffer_(new uint8_t[kBuffer]) {}

void PipePump::add(PumpBatch batch) { batches_.push_back(std::move(batch)); }

PumpState PipePump::run(const CancelFlag& cancelled) {
  for (;;) {
    if (cancelled.isSet()) fail("ABORTED", "stopped");
    if (!flush()) return PumpState::Full;
    begin_ = end_ = 0;
    const bool leased = !fill(cancelled);
    if (hashing_) hash_.update(buffer_.get(), end_);
    if (end_ > 0) continue;
    return leased ? PumpState::Leased : PumpState::Done;
  }
}

bool PipePump::fill(const CancelFlag& cancelled) {
  while (end_ < kBuffer && !batches_.empty()) {
    Part& part = batches_.front().parts[part_];
    const bool opened = part.bytes != nullptr || file_;
    if (!opened) {
      if (cancelled.isSet()) fail("ABORTED", "stopped");
      if (!open(part)) return false;
    }
    const uint64_t count = std::min(part.size - offset_, kBuffer - end_);
    if (part.bytes != nullptr)
      memcpy(buffer_.get() + end_, part.bytes + offset_, count);
    else
      readExactly(file_.get(), buffer_.get() + end_, count, part.start + offset_);
    end_ += count;
    offset_ += count;
    if (offset_ == part.size) next();
  }
  return true;
}

bool PipePump::open(Part& part) {
  struct stat st;
  try {
    file_ = part.fd ? std::move(part.fd) : openBeneath(part.dir, part.name);
  } catch (StoreError& error) {
    if (error.code != kLeased) throw;
    return false;
  }
  checkRegular(file_.get(), &st);
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  if (part.isRange) {
    if (part.start > size || part.size > size - part.start)
      fail("CONTENT_SIZE", "file of " + std::to_string(size) + " bytes where more were announced");
    return true;
  }
  if (part.size != kAnySize && part.size != size)
    fail("CONTENT_SIZE",
         "file content of " + std::to_string(size) + " bytes where " + std::to_string(part.size) + " were announced");
  part.size = size;
  return true;
}

void PipePump::next() {
  file_.reset();
  offset_ = 0;
  current_++;
  if (++part_ < batches_.front().parts.size()) return;
  part_ = 0;
  batches_.pop_front();
}

bool PipePump::flush() {
  while (begin_ < end_) {
    const ssize_t put = ::write(out_.get(), buffer_.get() + begin_, end_ - begin_);
    if (put >= 0) {
      begin_ += static_cast<uint64_t>(put);
      written_.fetch_add(static_cast<uint64_t>(put), std::memory_order_relaxed);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      pollfd room{out_.get(), POLLOUT, 0};
      if (poll(&room, 1, kPatience) > 0) continue;
      return false;
    }
    ofOutput_ = true;
    failErrno(errno, "cannot write");
  }
  return true;
}

void PipePump::close() {
  batches_.clear();
  part_ = 0;
  file_.reset();
  out_.reset();
}

std::string PipePump::digest() {
  uint8_t bytes[32];
  hash_.finish(bytes);
  return toHex(bytes, sizeof bytes);
}

}  // namespace cfsbridge
