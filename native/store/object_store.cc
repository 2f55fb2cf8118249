#include "store/object_store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/file_io.h"
#include "base/hex.h"
#include "hash/kernel_verity.h"

namespace cfsbridge {

ObjectStore::ObjectStore(int objectsFd, Algorithm algorithm, bool verityRequired, SharingRule sharing, int stagingFd)
    : objects_(objectsFd),
      staging_(stagingFd),
      algorithm_(algorithm),
      verityRequired_(verityRequired),
      sharing_(std::move(sharing)) {}

std::string ObjectStore::nameOf(const Digest& digest) const {
  std::string name;
  const size_t size = digestSize(algorithm_);
  name.reserve(2 * size + 1);
  appendHex(name, digest.data(), 1);
  name += '/';
  appendHex(name, digest.data() + 1, size - 1);
  return name;
}

void ObjectStore::remember(const Digest& digest) {
  std::lock_guard lock(mutex_);
  right_.insert(digest.data());
  if (!withdrawn_.empty()) withdrawn_.erase(nameOf(digest));
}

void ObjectStore::distrust(const Digest& digest) {
  std::lock_guard lock(mutex_);
  wrong_.insert(digest.data());
}

bool ObjectStore::distrusted(const Digest& digest) {
  std::lock_guard lock(mutex_);
  return wrong_.contains(digest.data());
}

bool ObjectStore::remembered(const Digest& digest) {
  std::lock_guard lock(mutex_);
  return right_.contains(digest.data()) && (withdrawn_.empty() || !withdrawn_.contains(nameOf(digest)));
}

OwnedFd ObjectStore::temporary() {
  if (!noTmpfile_) {
    OwnedFd file(openat(target().get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
    if (file) return file;
    if (errno != EOPNOTSUPP && errno != EISDIR) failErrno(errno, "cannot create a temporary file in objects/");
    noTmpfile_ = true;
  }
  // There is no other way that leaves nothing behind: a file that is created and unlinked at once cannot be linked
  // again. Such filesystems are rare.
  fail("EOPNOTSUPP", "the repository's filesystem has no O_TMPFILE; put the repository on ext4, xfs, btrfs or tmpfs");
}

// linkat of an open file; false with *error when the kernel refuses.
bool ObjectStore::linkInto(int fd, const std::string& name, int* error) {
  for (int attempt = 0; attempt < 2; attempt++) {
    const int folder = target().made(name);
    const char* rest = FanOut::rest(name);
    int result = -1;
    // Needs CAP_DAC_READ_SEARCH (or, since Linux 6.10, our own credentials on the file), and is ENOENT without.
    if (!noEmptyPath_) result = linkat(fd, "", folder, rest, AT_EMPTY_PATH);
    if (result < 0 && (noEmptyPath_ || errno == ENOENT)) {
      std::string path = "/proc/self/fd/" + std::to_string(fd);
      result = linkat(AT_FDCWD, path.c_str(), folder, rest, AT_SYMLINK_FOLLOW);
      if (result == 0 || errno == EEXIST) noEmptyPath_ = true;
    }
    if (result == 0) return true;
    *error = errno;
    if (*error != ENOENT || !target().forgetRemoved(name)) return false;
  }
  return false;
}

bool ObjectStore::sameDigest(const Digest& one, const Digest& other) const {
  return memcmp(one.data(), other.data(), digestSize(algorithm_)) == 0;
}

bool ObjectStore::has(const Digest& digest) {
  std::string name = nameOf(digest);
  struct stat st;
  const int folder = objects_.of(name);
  if (folder < 0) return false;
  if (fstatat(folder, FanOut::rest(name), &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return false;
    failErrno(errno, "cannot stat objects/" + name);
  }
  if (!S_ISREG(st.st_mode)) return false;
  // What can be told by mode and owner needs not be opened.
  if (!(st.st_mode & 0111) && sharing_.allows(-1, st, false)) return true;
  OwnedFd file = objects_.open(name);
  if (!file || fstat(file.get(), &st) < 0) {
    if (errno == ENOENT || errno == ELOOP) return false;
    failErrno(errno, "cannot open objects/" + name);
  }
  if (sharing_.allows(file.get(), st, false)) return true;
  Digest measured;
  return measureVerity(file.get(), measured) == digestSize(algorithm_) && sameDigest(measured, digest) &&
         sharing_.allows(file.get(), st, true);
}

int64_t ObjectStore::size(const std::string& name) {
  struct stat st;
  const int folder = objects_.of(name);
  if (folder < 0 || fstatat(folder, FanOut::rest(name), &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (folder < 0 || errno == ENOENT) return kMissing;
    failErrno(errno, "cannot stat objects/" + name);
  }
  return S_ISREG(st.st_mode) ? static_cast<int64_t>(st.st_size) : kNoFile;
}

bool ObjectStore::hasUsable(const Digest& digest) {
  if (!has(digest)) return false;
  if (!verityRequired_) return true;
  OwnedFd file = objects_.open(nameOf(digest));
  Digest measured;
  return file && measureVerity(file.get(), measured) == digestSize(algorithm_) && sameDigest(measured, digest);
}

bool ObjectStore::hasContent(int fd, uint64_t size, const Digest& digest) const {
  VerityHasher hasher(algorithm_);
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadStep]);
  for (uint64_t offset = 0; offset < size;) {
    const int64_t got = readFully(fd, buffer.get(), std::min<uint64_t>(kReadStep, size - offset), offset);
    if (got <= 0) return false;
    hasher.update(buffer.get(), static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  Digest actual;
  hasher.finish(actual.data());
  return sameDigest(actual, digest);
}

bool ObjectStore::presentAndRight(const Digest& digest, uint64_t size, const struct stat* source) {
  std::string name = nameOf(digest);
  if (remembered(digest)) return true;
  if (distrusted(digest)) return false;
  OwnedFd file = objects_.open(name);
  if (!file) {
    if (errno == ENOENT || errno == ELOOP) return false;
    failErrno(errno, "cannot open objects/" + name);
  }
  struct stat st;
  if (fstat(file.get(), &st) < 0) failErrno(errno, "cannot stat objects/" + name);
  if (!S_ISREG(st.st_mode) || static_cast<uint64_t>(st.st_size) != size) return false;
  Digest measured;
  const size_t measuredSize = measureVerity(file.get(), measured);
  if (!sharing_.allows(file.get(), st, measuredSize > 0)) return false;
  if (measuredSize > 0) {
    if (measuredSize != digestSize(algorithm_) || !sameDigest(measured, digest)) return false;
  } else if (verityRequired_) {
    return false;
  } else if (!source || st.st_dev != source->st_dev || st.st_ino != source->st_ino) {
    if (!hasContent(file.get(), size, digest)) return false;
  }
  remember(digest);
  return true;
}

// What a killed process leaves under such a name is removed by the next garbage collection.
std::string ObjectStore::temporaryName() {
  uint64_t random;
  if (getrandom(&random, sizeof random, 0) != sizeof random) failErrno(errno, "getrandom");
  return ".tmp-object-" + std::to_string(random);
}

// Puts a file in the place of an object that cannot stay, without a moment in which neither is there.
void ObjectStore::replace(int fd, const std::string& name) {
  for (int attempt = 0; attempt < 16; attempt++) {
    std::string temporary = temporaryName();
    int error = 0;
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    if (linkat(AT_FDCWD, path.c_str(), objects_.get(), temporary.c_str(), AT_SYMLINK_FOLLOW) < 0) {
      error = errno;
      if (error == EEXIST) continue;
      failErrno(error, "cannot link a replacement for objects/" + name);
    }
    if (renameat(objects_.get(), temporary.c_str(), objects_.made(name), FanOut::rest(name)) == 0) return;
    error = errno;
    unlinkat(objects_.get(), temporary.c_str(), 0);
    failErrno(error, "cannot replace the damaged objects/" + name);
  }
  fail("EEXIST", "no free temporary name in objects/");
}

Outcome ObjectStore::publish(OwnedFd file, const Digest& digest, uint64_t size) {
  if (staging_ && presentAndRight(digest, size, nullptr)) return Outcome::Present;
  seal(file, digest);
  std::string name = nameOf(digest);
  int error = 0;
  if (!linkInto(file.get(), name, &error)) {
    if (error != EEXIST) failErrno(error, "cannot link objects/" + name);
    // Nobody else puts anything into the staging folder.
    if (staging_ || presentAndRight(digest, size, nullptr)) return Outcome::Present;
    replace(file.get(), name);
  }
  if (!staging_) remember(digest);
  return Outcome::Copied;
}

OwnedFd ObjectStore::reflink(int source, const struct stat& st) {
  if (reflinkHopeless(st.st_dev)) return OwnedFd();
  OwnedFd file = temporary();
  if (ioctl(file.get(), FICLONE, source) == 0) return file;
  if (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == EINVAL || errno == ENOSYS) {
    noteRefusal(false, st.st_dev, errno);
    noReflink_ = st.st_dev + 1;
    return OwnedFd();
  }
  if (errno == EPERM || errno == ETXTBSY) return OwnedFd();
  failErrno(errno, "cannot clone a file into objects/");
}

}  // namespace cfsbridge
