#include "base/owned_fd.h"

#include <fcntl.h>
#include <unistd.h>

namespace cfsbridge {

void OwnedFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

OwnedFd duplicateFd(int fd) { return OwnedFd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

}  // namespace cfsbridge
