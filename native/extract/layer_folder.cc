#include "extract/layer_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "base/file_io.h"

namespace cfsbridge {
namespace {

constexpr size_t kKnownFolders = 64;
constexpr int kLinksFollowed = 40;  // as many as the kernel follows

[[noreturn]] void failLinks() { fail("LAYER_PARENT", "there are more symlinks in its path than are followed"); }

// A name that is one already, none of whose parts may be a symlink but the last, which is not followed.
OwnedFd openExactly(int root, const std::string& path) {
  open_how how = {};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return OwnedFd(openat2Retrying(root, path.c_str(), how));
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory openDirectory(int parent, const char* name) {
  OwnedFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) failErrno(errno, "cannot open a folder that is replaced");
  Directory directory(fdopendir(fd.get()));
  if (!directory) failErrno(errno, "cannot read a folder that is replaced");
  fd.release();
  return directory;
}

// Calls with each name that is there; `call` may remove it.
template <typename Call>
void forEachName(DIR* directory, Call&& call) {
  rewinddir(directory);
  for (errno = 0; const dirent* entry = readdir(directory); errno = 0) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") call(name.c_str());
  }
  if (errno != 0) failErrno(errno, "cannot read a folder that is replaced");
}

// Returns false for a folder that is not empty.
bool removeOne(int parent, const char* name) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR) failErrno(errno, "cannot remove what is replaced");
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno != ENOTEMPTY && errno != EEXIST) failErrno(errno, "cannot remove what is replaced");
  return false;
}

// Each pass moves what is two levels down one level up, so that neither descriptors nor the stack bound the depth.
void removeTree(int parent, const char* name) {
  uint64_t moved = 0;
  for (bool empty = false; !empty;) {
    empty = true;
    const Directory top = openDirectory(parent, name);
    const int topFd = dirfd(top.get());
    forEachName(top.get(), [&](const char* child) {
      if (removeOne(topFd, child)) return;
      empty = false;
      const Directory below = openDirectory(topFd, child);
      const int belowFd = dirfd(below.get());
      forEachName(below.get(), [&](const char* grandchild) {
        if (removeOne(belowFd, grandchild)) return;
        for (;;) {
          const std::string aside = std::to_string(moved++);
          if (renameat2(belowFd, grandchild, topFd, aside.c_str(), RENAME_NOREPLACE) == 0) return;
          if (errno != EEXIST) failErrno(errno, "cannot remove what is replaced");
        }
      });
    });
  }
  if (unlinkat(parent, name, AT_REMOVEDIR) < 0) failErrno(errno, "cannot remove what is replaced");
}

}  // namespace

EntryPlace LayerFolder::place(std::string_view path, bool make) {
  if (stale_) known_.clear();
  stale_ = false;
  if (path.empty()) return {root_.get(), "."};
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {root_.get(), std::string(path)};
  return {folder(path.substr(0, slash), make), std::string(path.substr(slash + 1))};
}

int LayerFolder::folder(std::string_view path, bool make) {
  const std::string key(path);
  if (const auto found = known_.find(key); found != known_.end()) return found->second.get();
  OwnedFd opened = open(path);
  if (!opened && errno == ENOENT && make) opened = makeFolders(path);
  if (!opened && errno == ENOENT) {
    // A link may lead through what is missing, and up from there.
    const std::string whole = resolved(path);
    opened = open(whole.empty() ? "." : whole);
    if (!opened && errno == ENOENT && make) opened = makeFolders(whole);
  }
  if (!opened) {
    if (errno == ENOTDIR) fail("LAYER_PARENT", "something in its path is no folder");
    if (errno == ELOOP) failLinks();
    failErrno(errno, "cannot open the folder it is in");
  }
  if (known_.size() >= kKnownFolders) known_.clear();
  return known_.emplace(key, std::move(opened)).first->second.get();
}

// Empty, with errno, when it cannot be.
OwnedFd LayerFolder::open(std::string_view path) {
  const std::string name(path);
  open_how how = {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return OwnedFd(openat2Retrying(root_.get(), name.c_str(), how));
}

// Where a path leads with all links followed, as far as there are any: what is missing is taken for folders.
std::string LayerFolder::resolved(std::string_view path) {
  std::string rest(path), done;
  const auto up = [&] {
    const size_t slash = done.rfind('/');
    done.resize(slash == std::string::npos ? 0 : slash);
  };
  for (int links = 0; !rest.empty();) {
    const size_t slash = rest.find('/');
    const std::string name = rest.substr(0, slash);
    rest.erase(0, slash == std::string::npos ? rest.size() : slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      up();
      continue;
    }
    if (!done.empty()) done += '/';
    done += name;
    const OwnedFd there = openExactly(root_.get(), done);
    struct stat st;
    if (!there || fstat(there.get(), &st) < 0) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      failErrno(errno, "cannot look at the folder it is in");
    }
    if (!S_ISLNK(st.st_mode)) continue;
    if (++links > kLinksFollowed) failLinks();
    char target[PATH_MAX];
    const ssize_t length = readlinkat(there.get(), "", target, sizeof target);
    if (length < 0) failErrno(errno, "cannot read a symlink in its path");
    if (length > 0 && target[0] == '/')
      done.clear();
    else
      up();
    rest.insert(0, std::string(target, static_cast<size_t>(length)) + "/");
  }
  return done;
}

// From the nearest folder that is there down. Empty, with ENOENT, where a symlink that leads nowhere is in the way.
OwnedFd LayerFolder::makeFolders(std::string_view path) {
  size_t end = path.size();
  OwnedFd at;
  while (!at) {
    end = path.rfind('/', end - 1);
    at = end == std::string_view::npos ? open(".") : open(path.substr(0, end));
    if (!at && errno != ENOENT) return at;
    if (end == std::string_view::npos && !at) return at;
  }
  while (end != path.size()) {
    const size_t start = end == std::string_view::npos ? 0 : end + 1;
    end = std::min(path.find('/', start), path.size());
    const std::string name(path.substr(start, end - start));
    if (mkdirat(at.get(), name.c_str(), 0777) < 0) {
      if (errno != EEXIST) failErrno(errno, "cannot make the folder it is in");
      errno = ENOENT;
      return OwnedFd();
    }
    OwnedFd made(openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat st;
    if (!made || fstat(made.get(), &st) < 0) failErrno(errno, "cannot open the folder it is in");
    if ((st.st_uid != 0 || st.st_gid != 0) && fchownat(at.get(), name.c_str(), 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
      failErrno(errno, "cannot give the folder it is in to root");
    at = std::move(made);
  }
  return at;
}

void LayerFolder::remove(const EntryPlace& place) {
  struct stat st;
  if (fstatat(place.parent, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    failErrno(errno, "cannot look at what is replaced");
  }
  stale_ = stale_ || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode);
  if (!S_ISDIR(st.st_mode)) {
    if (unlinkat(place.parent, place.name.c_str(), 0) < 0) failErrno(errno, "cannot remove what is replaced");
  } else {
    removeTree(place.parent, place.name.c_str());
  }
}

}  // namespace cfsbridge
