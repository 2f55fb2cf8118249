// fs-verity of objects: the kernel checks their content whenever it is read, and nobody can change it any more.
#include <fcntl.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "object_store.h"

namespace cfsbridge {
namespace {

// The same file, open for reading only: a descriptor that could write forbids fs-verity. Empty, with errno, when that is not allowed.
OwnedFd reopenReadOnly(int fd) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  return OwnedFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

// Turns fs-verity on. Returns 0, also when it was on, or an errno.
int tryEnableVerity(int reader, Algorithm algorithm) {
  fsverity_enable_arg arg = {};
  arg.version = 1;
  arg.hash_algorithm = static_cast<uint32_t>(algorithm);
  arg.block_size = 4096;
  for (int attempt = 0;; attempt++) {
    if (ioctl(reader, FS_IOC_ENABLE_VERITY, &arg) == 0 || errno == EEXIST) return 0;
    // A fork elsewhere in the process can hold the writing descriptor for a moment.
    if (errno != ETXTBSY || attempt == 20) return errno;
    usleep(1000);
  }
}

// The filesystem has no fs-verity; EINVAL stands for one whose blocks are smaller than 4096 bytes.
bool isUnsupported(int error) { return error == ENOTTY || error == EOPNOTSUPP || error == EINVAL; }

}  // namespace

size_t measureVerity(int fd, Digest& digest) {
  alignas(fsverity_digest) uint8_t space[sizeof(fsverity_digest) + 64] = {};
  auto* measured = reinterpret_cast<fsverity_digest*>(space);
  measured->digest_size = 64;
  if (ioctl(fd, FS_IOC_MEASURE_VERITY, measured) < 0) return 0;
  memcpy(digest.data(), measured->digest, measured->digest_size);
  return measured->digest_size;
}

// Protects a finished temporary file, as far as the filesystem can, and makes sure that it is what was hashed.
void ObjectStore::seal(OwnedFd& file, const Digest& digest) {
  if (noVerity_ && !verityRequired_) return;
  file = reopenReadOnly(file.get());
  if (!file) failErrno(errno, "cannot reopen a temporary file");
  const int error = tryEnableVerity(file.get(), algorithm_);
  if (isUnsupported(error) && !verityRequired_) {
    noVerity_ = true;
    return;
  }
  if (error) failErrno(error, "cannot enable fs-verity on an object");
  Digest measured;
  if (measureVerity(file.get(), measured) != digestSize(algorithm_) || !sameDigest(measured, digest))
    fail("SOURCE_CHANGED", "the kernel measures another fs-verity digest than was computed: the file changed while it was read");
}

// Whether a file somebody else made can be an object as it is. With `policy.sealSource` it gets fs-verity first.
bool ObjectStore::sealSource(int source, dev_t device, const Digest& digest, const TakePolicy& policy) {
  if (policy.sealSource && !(noVerity_ && !verityRequired_)) {
    // A file that came over a socket may be one that its receiver could not open.
    OwnedFd reader = reopenReadOnly(source);
    if (!reader) return false;
    const int error = tryEnableVerity(reader.get(), algorithm_);
    if (isUnsupported(error) && !verityRequired_) noVerity_ = true;
    else if (error) return false;
  }
  if (unsealable_ == device && !verityRequired_) return true;
  Digest measured;
  const size_t size = measureVerity(source, measured);
  if (size == 0) {
    if (errno == ENOTTY || errno == EOPNOTSUPP) unsealable_ = device;
    return !verityRequired_;
  }
  // It was sealed with the other algorithm, which cannot be undone.
  if (size != digestSize(algorithm_)) return false;
  if (!sameDigest(measured, digest)) fail("SOURCE_CHANGED", "the file changed while it was read");
  return true;
}

}  // namespace cfsbridge
