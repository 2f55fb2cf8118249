#include "base/file_io.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace cfsbridge {

int openat2Retrying(int dir, const char* name, struct open_how& how) {
  constexpr int kMostRenames = 1000;
  // With RESOLVE_IN_ROOT the target of a symlink may have a "..", too.
  const bool climbs = strstr(name, "..") != nullptr || (how.resolve & RESOLVE_IN_ROOT) != 0;
  for (int renames = 0;;) {
    const int fd = static_cast<int>(syscall(SYS_openat2, dir, name, &how, sizeof how));
    if (fd >= 0 || (errno != EINTR && (errno != EAGAIN || !climbs || ++renames > kMostRenames))) return fd;
  }
}

OwnedFd openBeneath(int dir, std::string_view name, bool acrossMounts) {
  const std::string path(name);
  OwnedFd fd = tryOpenBeneath(dir, path, acrossMounts);
  if (!fd && errno == EAGAIN) fail(kLeased, "another process keeps a lease on the file and does not give it back");
  if (!fd) failErrno(errno, "cannot open content");
  return fd;
}

OwnedFd tryOpenBeneath(int dir, const std::string& name, bool acrossMounts) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | (acrossMounts ? 0 : RESOLVE_NO_XDEV);
  return OwnedFd(openat2Retrying(dir, name.c_str(), how));
}

OwnedFd reopenReadOnly(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return OwnedFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

void checkRegular(int fd, struct stat* st) {
  if (fstat(fd, st) < 0) failErrno(errno, "cannot stat content");
  if (!S_ISREG(st->st_mode)) fail("NOT_A_FILE", "content must be in a regular file");
}

int64_t readFully(int fd, uint8_t* into, uint64_t size, uint64_t offset) {
  uint64_t done = 0;
  while (done < size) {
    const ssize_t got = pread(fd, into + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
  }
  return static_cast<int64_t>(done);
}

void readExactly(int fd, uint8_t* into, uint64_t size, uint64_t offset) {
  const int64_t got = readFully(fd, into, size, offset);
  if (got < 0) failErrno(errno, "cannot read content");
  const uint64_t missing = size - static_cast<uint64_t>(got);
  if (missing > 0) fail("SIZE_MISMATCH", "content ended " + std::to_string(missing) + " bytes early");
}

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

bool isUntouched(int fd, const struct stat& before) {
  struct stat now;
  return fstat(fd, &now) == 0 && now.st_size == before.st_size && now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
         now.st_ctim.tv_nsec == before.st_ctim.tv_nsec;
}

void checkUnchanged(int fd, const struct stat& before) {
  struct stat now;
  if (fstat(fd, &now) < 0) failErrno(errno, "cannot stat content");
  if (now.st_size != before.st_size || now.st_mtim.tv_sec != before.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
    fail("SOURCE_CHANGED", "the file changed while it was read");
}

}  // namespace cfsbridge
