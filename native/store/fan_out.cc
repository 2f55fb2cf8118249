#include "store/fan_out.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/failure.h"

namespace cfsbridge {
namespace {

size_t indexOf(const std::string& name) { return std::stoul(name.substr(0, 2), nullptr, 16); }

}  // namespace

FanOut::FanOut(int folder) : folder_(folder) {
  for (auto& fd : folders_) fd = -1;
}

void FanOut::close() {
  for (auto& fd : folders_) {
    const int open = fd.exchange(-1);
    if (open >= 0) ::close(open);
  }
  folder_.reset();
}

int FanOut::of(const std::string& name) {
  std::atomic<int>& kept = folders_[indexOf(name)];
  int known = kept.load(std::memory_order_acquire);
  if (known >= 0) return known;
  const std::string first = name.substr(0, 2);
  OwnedFd opened(openat(folder_.get(), first.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened) {
    if (errno == ENOENT) return -1;
    if (errno == ENOTDIR || errno == ELOOP)
      fail("ELOOP",
           "objects/" + first +
               " in the repository is a symlink, or no folder; put the folder itself there, or mount it there");
    failErrno(errno, "cannot open objects/" + first);
  }
  // Another thread may have been quicker.
  if (!kept.compare_exchange_strong(known, opened.get(), std::memory_order_acq_rel)) return known;
  return opened.release();
}

int FanOut::made(const std::string& name) {
  const std::string first = name.substr(0, 2);
  for (int attempt = 0; attempt < 2; attempt++) {
    const int folder = of(name);
    if (folder >= 0) return folder;
    // Who else may write a folder could put anything in the place of an object: not even a umask may allow it.
    if (mkdirat(folder_.get(), first.c_str(), 0755) < 0 && errno != EEXIST)
      failErrno(errno, "cannot create objects/" + first);
  }
  fail("ENOENT", "objects/" + first + " is removed as soon as it is made");
}

bool FanOut::forgetRemoved(const std::string& name) {
  std::atomic<int>& kept = folders_[indexOf(name)];
  const int folder = kept.load(std::memory_order_acquire);
  struct stat st;
  if (folder < 0 || fstat(folder, &st) < 0 || st.st_nlink > 0) return false;
  // It is not closed, as other threads may be about to use it: only whoever takes objects/ apart by hand makes this
  // happen.
  int expected = folder;
  kept.compare_exchange_strong(expected, -1);
  return true;
}

OwnedFd FanOut::open(const std::string& name) {
  const int folder = of(name);
  if (folder < 0) {
    errno = ENOENT;
    return OwnedFd();
  }
  return OwnedFd(openat(folder, rest(name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

}  // namespace cfsbridge
