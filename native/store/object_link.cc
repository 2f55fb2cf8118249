// Sharing the inode of a source's file, and taking back what proved wrong.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/file_io.h"
#include "store/object_store.h"

namespace cfsbridge {

bool ObjectStore::sameFilesystem(dev_t device) const {
  struct stat mine;
  return fstat(objects_.get(), &mine) == 0 && mine.st_dev == device;
}

// Links through this mount, or where that is another one of the same filesystem (containers-storage bind-mounts its
// folder on itself) reaches the inode through the repository's own.
bool ObjectStore::linkAnyhow(int fd, const struct stat& st, const std::string& name, int* error) {
  const dev_t device = st.st_dev + 1;
  *error = EXDEV;
  if (linkByHandle_ != device) {
    if (linkInto(fd, name, error)) return true;
    if (*error == EXDEV && sameFilesystem(st.st_dev)) linkByHandle_ = device;
  }
  if (linkByHandle_ != device) return false;
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(space);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mountId;
  OwnedFd same;
  if (name_to_handle_at(fd, "", handle, &mountId, AT_EMPTY_PATH) == 0)
    same = OwnedFd(open_by_handle_at(objects_.get(), handle, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat other;
  if (same && fstat(same.get(), &other) == 0 && other.st_ino == st.st_ino && other.st_dev == st.st_dev)
    return linkInto(same.get(), name, error);
  *error = EXDEV;
  return false;
}

LinkResult ObjectStore::hardlink(int source, const struct stat& st, const Digest& digest, const TakePolicy& policy) {
  const dev_t device = st.st_dev + 1;
  if (noHardlink_ == device) return LinkResult::Impossible;
  if (!policy.trusted || staging_) return sameFilesystem(st.st_dev) ? LinkResult::Refused : LinkResult::Impossible;
  // Not even a source that may be sealed is sealed in vain.
  if (policy.sealSource && presentAndRight(digest, static_cast<uint64_t>(st.st_size), &st)) return LinkResult::Present;
  // Its owner, or whoever may write it, would change the object with it.
  if (!sharing_.allows(source, st, false))
    return sameFilesystem(st.st_dev) ? LinkResult::Refused : LinkResult::Impossible;
  const Seal seal = sealSource(source, device, digest, policy);
  if (seal == Seal::Unfit) return LinkResult::Impossible;
  std::string name = nameOf(digest);
  int error = 0;
  if (linkAnyhow(source, st, name, &error)) {
    // Sealing sets the time of change itself; what is sealed cannot change.
    try {
      if (seal == Seal::None) checkUnchanged(source, st);
    } catch (...) {
      withdraw(name, st.st_ino);
      throw;
    }
    remember(digest);
    return LinkResult::Linked;
  }
  if (error == EEXIST)
    return presentAndRight(digest, static_cast<uint64_t>(st.st_size), &st) ? LinkResult::Present : LinkResult::Occupied;
  if (error == EXDEV) noHardlink_ = device;
  if (error != 0) noteRefusal(true, st.st_dev, error);
  if (error == EXDEV || error == EPERM || error == EMLINK || error == ENOENT || error == EACCES || error == EOPNOTSUPP)
    return LinkResult::Impossible;
  failErrno(error, "cannot link objects/" + name);
}

void ObjectStore::noteRefusal(bool hardlink, dev_t device, int error) {
  std::lock_guard lock(mutex_);
  for (const Refusal& known : refusals_)
    if (known.hardlink == hardlink && known.device == device && known.error == error) return;
  refusals_.push_back({hardlink, device, error});
}

std::vector<ObjectStore::Refusal> ObjectStore::refusals() {
  std::lock_guard lock(mutex_);
  return refusals_;
}

void ObjectStore::withdrawIfWrong(const Digest& digest, ino_t inode) {
  std::string name = nameOf(digest);
  OwnedFd file = objects_.open(name);
  struct stat st;
  if (!file || fstat(file.get(), &st) < 0 || st.st_ino != inode) return;
  if (!hasContent(file.get(), static_cast<uint64_t>(st.st_size), digest)) withdraw(name, inode);
}

// Somebody may put a right object in the place at any moment: it is moved aside first, and back when it is not the one.
void ObjectStore::withdraw(const std::string& name, ino_t inode) {
  const std::string aside = temporaryName();
  // What needs memory comes first: one that is gone and still counts as right would never be stored again.
  std::set<std::string> withdrawn{name};
  struct stat st;
  const int folder = objects_.of(name);
  const char* rest = FanOut::rest(name);
  if (folder < 0 || fstatat(folder, rest, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != inode) return;
  if (renameat(folder, rest, objects_.get(), aside.c_str()) < 0)
    failErrno(errno, "cannot remove the wrong objects/" + name);
  const bool same = fstatat(objects_.get(), aside.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode;
  // Where yet another one has the name by now, this one is not needed.
  if (same || renameat2(objects_.get(), aside.c_str(), folder, rest, RENAME_NOREPLACE) < 0)
    unlinkat(objects_.get(), aside.c_str(), 0);
  std::lock_guard lock(mutex_);
  if (same) withdrawn_.merge(withdrawn);
}

}  // namespace cfsbridge
