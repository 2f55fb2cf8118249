// Descriptors that are closed by whoever owns them.
#pragma once

namespace cfsbridge {

// Closes its descriptor; moves only.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Another descriptor of the same open file, above the standard ones; empty, with errno, when there can be none.
OwnedFd duplicateFd(int fd);

}  // namespace cfsbridge
