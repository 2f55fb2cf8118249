// fs-verity of objects: the kernel checks their content whenever it is read, and nobody can change it any more.
#include <unistd.h>

#include <cerrno>

#include "base/file_io.h"
#include "hash/kernel_verity.h"
#include "store/object_store.h"

namespace cfsbridge {
namespace {

// Returns 0, also when it was on, or an errno.
int tryEnableVerity(int reader, Algorithm algorithm) {
  for (int attempt = 0;; attempt++) {
    const int error = enableVerity(reader, static_cast<uint32_t>(algorithm));
    // A fork elsewhere in the process can hold the writing descriptor for a moment.
    if (error != ETXTBSY || attempt == 20) return error;
    usleep(1000);
  }
}

}  // namespace

// Protects a finished temporary file, as far as the filesystem can, and makes sure that it is what was hashed.
void ObjectStore::seal(OwnedFd& file, const Digest& digest) {
  if (noVerity_ && !verityRequired_) return;
  // A descriptor that could write forbids fs-verity.
  file = reopenReadOnly(file.get());
  if (!file) failErrno(errno, "cannot reopen a temporary file");
  const int error = tryEnableVerity(file.get(), algorithm_);
  if (isVerityUnsupported(error) && !verityRequired_) {
    noVerity_ = true;
    return;
  }
  if (error) failErrno(error, "cannot enable fs-verity on an object");
  Digest measured;
  if (measureVerity(file.get(), measured) != digestSize(algorithm_) || !sameDigest(measured, digest))
    fail("SOURCE_CHANGED",
         "the kernel measures another fs-verity digest than was computed: the file changed while it was read");
}

// Whether a file somebody else made can be an object as it is. With `policy.sealSource` it gets fs-verity first.
ObjectStore::Seal ObjectStore::sealSource(int source, dev_t device, const Digest& digest, const TakePolicy& policy) {
  if (policy.sealSource && !(noVerity_ && !verityRequired_)) {
    // A file that came over a socket may be one that its receiver could not open.
    OwnedFd reader = reopenReadOnly(source);
    if (!reader) return Seal::Unfit;
    const int error = tryEnableVerity(reader.get(), algorithm_);
    if (isVerityUnsupported(error) && !verityRequired_)
      noVerity_ = true;
    else if (error)
      return Seal::Unfit;
  }
  if (unsealable_ == device && !verityRequired_) return Seal::None;
  Digest measured;
  const size_t size = measureVerity(source, measured);
  if (size == 0) {
    if (errno == ENOTTY || errno == EOPNOTSUPP) unsealable_ = device;
    return verityRequired_ ? Seal::Unfit : Seal::None;
  }
  // It was sealed with the other algorithm, which cannot be undone.
  if (size != digestSize(algorithm_)) return Seal::Unfit;
  if (!sameDigest(measured, digest)) fail("SOURCE_CHANGED", "the file changed while it was read");
  return Seal::Right;
}

}  // namespace cfsbridge
