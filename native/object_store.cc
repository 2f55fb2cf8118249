#include "object_store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace cfsbridge {

void OwnedFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

void failErrno(int error, const std::string& what) {
  const char* name = strerrorname_np(error);
  throw StoreError{name ? name : "EUNKNOWN", what + ": " + strerror(error)};
}

void fail(const char* code, const std::string& message) { throw StoreError{code, message}; }

ObjectStore::ObjectStore(int objectsFd, Algorithm algorithm, bool verityRequired)
    : objects_(objectsFd), algorithm_(algorithm), verityRequired_(verityRequired) {}

std::string ObjectStore::nameOf(const Digest& digest) const {
  static const char hex[] = "0123456789abcdef";
  std::string name;
  size_t size = digestSize(algorithm_);
  name.reserve(2 * size + 1);
  for (size_t i = 0; i < size; i++) {
    if (i == 1) name += '/';
    name += hex[digest[i] >> 4];
    name += hex[digest[i] & 15];
  }
  return name;
}

void ObjectStore::remember(const Digest& digest) {
  std::lock_guard lock(mutex_);
  right_.insert(digest.data());
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
  return right_.contains(digest.data());
}

OwnedFd ObjectStore::temporary() {
  if (!noTmpfile_) {
    OwnedFd file(openat(objects_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
    if (file) return file;
    if (errno != EOPNOTSUPP && errno != EISDIR) failErrno(errno, "cannot create a temporary file in objects/");
    noTmpfile_ = true;
  }
  // Without O_TMPFILE: a file that is created and unlinked at once cannot be linked again, so it goes by
  // memory instead; such filesystems are rare and the cost is theirs.
  fail("EOPNOTSUPP", "the repository's filesystem has no O_TMPFILE; put the repository on ext4, xfs, btrfs or tmpfs");
}

// linkat of an open file; false with *error when the kernel refuses.
bool ObjectStore::linkInto(int fd, const std::string& name, int* error) {
  for (int attempt = 0; attempt < 2; attempt++) {
    int result = -1;
    if (!noEmptyPath_) {
      // Needs CAP_DAC_READ_SEARCH (or, since Linux 6.10, our own credentials on the file).
      result = linkat(fd, "", objects_.get(), name.c_str(), AT_EMPTY_PATH);
      if (result < 0 && errno == ENOENT && faccessat(objects_.get(), name.substr(0, 2).c_str(), F_OK, 0) == 0)
        noEmptyPath_ = true;
    }
    if (result < 0 && noEmptyPath_) {
      std::string path = "/proc/self/fd/" + std::to_string(fd);
      result = linkat(AT_FDCWD, path.c_str(), objects_.get(), name.c_str(), AT_SYMLINK_FOLLOW);
    }
    if (result == 0) return true;
    *error = errno;
    if (*error != ENOENT) return false;
    if (mkdirat(objects_.get(), name.substr(0, 2).c_str(), 0755) < 0 && errno != EEXIST)
      failErrno(errno, "cannot create objects/" + name.substr(0, 2));
  }
  return false;
}

bool ObjectStore::sameDigest(const Digest& one, const Digest& other) const {
  return memcmp(one.data(), other.data(), digestSize(algorithm_)) == 0;
}

bool ObjectStore::has(const Digest& digest) const {
  std::string name = nameOf(digest);
  struct stat st;
  if (fstatat(objects_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  failErrno(errno, "cannot stat objects/" + name);
}

bool ObjectStore::presentAndRight(const Digest& digest, uint64_t size, const struct stat* source) {
  std::string name = nameOf(digest);
  if (remembered(digest)) return true;
  if (distrusted(digest)) return false;
  OwnedFd file(openat(objects_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) {
    if (errno == ENOENT || errno == ELOOP) return false;
    failErrno(errno, "cannot open objects/" + name);
  }
  struct stat st;
  if (fstat(file.get(), &st) < 0) failErrno(errno, "cannot stat objects/" + name);
  if (!S_ISREG(st.st_mode) || static_cast<uint64_t>(st.st_size) != size) return false;
  Digest measured;
  const size_t measuredSize = measureVerity(file.get(), measured);
  if (measuredSize > 0) {
    if (measuredSize != digestSize(algorithm_) || !sameDigest(measured, digest)) return false;
  } else if (verityRequired_) {
    return false;
  } else if (!source || st.st_dev != source->st_dev || st.st_ino != source->st_ino) {
    VerityHasher hasher(algorithm_);
    constexpr size_t step = 256 * 1024;
    std::unique_ptr<uint8_t[]> buffer(new uint8_t[step]);
    for (uint64_t offset = 0; offset < size;) {
      ssize_t got = pread(file.get(), buffer.get(), step, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      hasher.update(buffer.get(), static_cast<size_t>(got));
      offset += static_cast<uint64_t>(got);
    }
    Digest actual;
    hasher.finish(actual.data());
    if (!sameDigest(actual, digest)) return false;
  }
  remember(digest);
  return true;
}

// Puts a file in the place of a damaged object, without a moment in which neither is there.
void ObjectStore::replace(int fd, const std::string& name) {
  for (int attempt = 0; attempt < 16; attempt++) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random) failErrno(errno, "getrandom");
    std::string temporary = ".tmp-object-" + std::to_string(random);
    int error = 0;
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    if (linkat(AT_FDCWD, path.c_str(), objects_.get(), temporary.c_str(), AT_SYMLINK_FOLLOW) < 0) {
      error = errno;
      if (error == EEXIST) continue;
      failErrno(error, "cannot link a replacement for objects/" + name);
    }
    if (renameat(objects_.get(), temporary.c_str(), objects_.get(), name.c_str()) == 0) return;
    error = errno;
    unlinkat(objects_.get(), temporary.c_str(), 0);
    failErrno(error, "cannot replace the damaged objects/" + name);
  }
  fail("EEXIST", "no free temporary name in objects/");
}

Outcome ObjectStore::publish(OwnedFd file, const Digest& digest, uint64_t size) {
  seal(file, digest);
  std::string name = nameOf(digest);
  int error = 0;
  if (!linkInto(file.get(), name, &error)) {
    if (error != EEXIST) failErrno(error, "cannot link objects/" + name);
    if (presentAndRight(digest, size, nullptr)) return Outcome::Present;
    replace(file.get(), name);
  }
  remember(digest);
  return Outcome::Copied;
}

bool ObjectStore::hardlink(int source, const struct stat& st, const Digest& digest, const TakePolicy& policy, Outcome* outcome) {
  const dev_t device = st.st_dev + 1;
  if (noHardlink_ == device) return false;
  // Not even a source that may be sealed is sealed in vain.
  if (policy.sealSource && presentAndRight(digest, static_cast<uint64_t>(st.st_size), &st)) {
    *outcome = Outcome::Present;
    return true;
  }
  if (!sealSource(source, device, digest, policy)) return false;
  std::string name = nameOf(digest);
  int error = EXDEV;
  bool linked = false;
  if (linkByHandle_ != device) {
    linked = linkInto(source, name, &error);
    if (!linked && error == EXDEV) {
      struct stat mine;
      if (fstat(objects_.get(), &mine) == 0 && mine.st_dev == st.st_dev) linkByHandle_ = device;
    }
  }
  if (!linked && linkByHandle_ == device) {
    // The same filesystem through another mount (containers-storage bind-mounts its folder on itself): reach the
    // inode through the repository's own mount.
    alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
    auto* handle = reinterpret_cast<file_handle*>(space);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mountId;
    OwnedFd same;
    if (name_to_handle_at(source, "", handle, &mountId, AT_EMPTY_PATH) == 0)
      same = OwnedFd(open_by_handle_at(objects_.get(), handle, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat other;
    if (same && fstat(same.get(), &other) == 0 && other.st_ino == st.st_ino && other.st_dev == st.st_dev)
      linked = linkInto(same.get(), name, &error);
    else
      error = EXDEV;
  }
  if (linked) {
    remember(digest);
    *outcome = Outcome::Hardlinked;
    return true;
  }
  if (error == EEXIST) {
    if (!presentAndRight(digest, static_cast<uint64_t>(st.st_size), &st)) return false;
    *outcome = Outcome::Present;
    return true;
  }
  if (error == EXDEV) noHardlink_ = device;
  if (error == EXDEV || error == EPERM || error == EMLINK || error == ENOENT || error == EACCES || error == EOPNOTSUPP) return false;
  failErrno(error, "cannot link objects/" + name);
}

OwnedFd ObjectStore::reflink(int source, const struct stat& st) {
  if (reflinkHopeless(st.st_dev)) return OwnedFd();
  OwnedFd file = temporary();
  if (ioctl(file.get(), FICLONE, source) == 0) return file;
  if (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == EINVAL || errno == ENOSYS) {
    noReflink_ = st.st_dev + 1;
    return OwnedFd();
  }
  if (errno == EPERM || errno == ETXTBSY) return OwnedFd();
  failErrno(errno, "cannot clone a file into objects/");
}

}  // namespace cfsbridge
