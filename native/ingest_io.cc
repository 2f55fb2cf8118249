#include "ingest_io.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "ingest.h"

namespace cfsbridge {

OwnedFd openBeneath(int dir, std::string_view name) {
  std::string path(name);
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  int fd;
  do {
    fd = static_cast<int>(syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) failErrno(errno, "cannot open content");
  return OwnedFd(fd);
}

void checkRegular(int fd, struct stat* st) {
  if (fstat(fd, st) < 0) failErrno(errno, "cannot stat content");
  if (!S_ISREG(st->st_mode)) fail("NOT_A_FILE", "content must be in a regular file");
}

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

void checkUnchanged(int fd, const struct stat& before) {
  struct stat now;
  if (fstat(fd, &now) < 0) failErrno(errno, "cannot stat content");
  // Not the time of the inode's change: links that are made and removed meanwhile, also by this process for another file with
  // the same content, change that. Sources that may be linked or cloned belong to somebody who sets no times back.
  if (now.st_size != before.st_size || now.st_mtim.tv_sec != before.st_mtim.tv_sec || now.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
    fail("SOURCE_CHANGED", "the file changed while it was read");
}

}  // namespace cfsbridge
