#include "hash/kernel_verity.h"

#include <linux/fsverity.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace cfsbridge {

size_t measureVerity(int fd, Digest& digest) {
  alignas(fsverity_digest) uint8_t space[sizeof(fsverity_digest) + sizeof(Digest)] = {};
  auto* measured = reinterpret_cast<fsverity_digest*>(space);
  measured->digest_size = sizeof(Digest);
  if (ioctl(fd, FS_IOC_MEASURE_VERITY, measured) < 0) return 0;
  memcpy(digest.data(), measured->digest, measured->digest_size);
  return measured->digest_size;
}

int enableVerity(int fd, uint32_t algorithm) {
  fsverity_enable_arg arg = {};
  arg.version = 1;
  arg.hash_algorithm = algorithm;
  arg.block_size = 4096;
  return ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) == 0 || errno == EEXIST ? 0 : errno;
}

bool isVerityUnsupported(int error) { return error == ENOTTY || error == EOPNOTSUPP || error == EINVAL; }

}  // namespace cfsbridge
