// Walking a folder: directories, metadata, xattrs, link targets. Content is in scan_content.cc.
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "base/threads.h"
#include "scan/scan.h"

namespace cfsbridge {
namespace {

[[noreturn]] void failScan(int error, const std::string& what, const std::string& path) {
  throw ScanFailure{error, "", what, path};
}

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string procPath(int dir, const std::string& name) {
  std::string path = "/proc/self/fd/" + std::to_string(dir);
  if (!name.empty()) path += "/" + name;
  return path;
}

std::string readTarget(int dir, const std::string& name) {
  char target[kTargetLimit + 1];
  const ssize_t length = readlinkat(dir, name.c_str(), target, sizeof target);
  if (length < 0) failScan(errno, "cannot read a symlink", "");
  if (static_cast<size_t>(length) > kTargetLimit) throw ScanFailure{ENAMETOOLONG, "", "cannot read a symlink", ""};
  return std::string(target, static_cast<size_t>(length));
}

template <typename T>
void put(uint8_t* head, ScanAt place, T value) {
  memcpy(head + place, &value, sizeof value);
}

}  // namespace

FolderScan::FolderScan(int root, ScanOptions options, CancelFlag cancelled)
    : root_(root), options_(std::move(options)), cancelled_(cancelled) {}

std::string FolderScan::run() {
  if (fstat(root_, &rootEntry_.st) < 0) failScan(errno, "cannot stat the folder", "");
  rootEntry_.xattrs = readXattrs(procPath(root_, ""));
  directories_.push_back(std::make_unique<Directory>());
  OwnedFd root(openat(root_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) failScan(errno, "cannot open the folder", "");
  push([this, dir = std::make_shared<OwnedFd>(std::move(root))] { readDirectory(dir, 0, "."); });
  runOnThreads(options_.threads, [this] { work(); });
  jobs_.clear();
  try {
    failure_.rethrow();
  } catch (const StoreError& failure) {
    throw ScanFailure{0, failure.code, "cannot fill store: " + failure.message, ""};
  }
  return serialize();
}

void FolderScan::push(Job job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void FolderScan::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (failure_.happened() || (jobs_.empty() && running_ == 0)) break;
    if (jobs_.empty()) {
      wake_.wait(lock);
      continue;
    }
    Job job = std::move(jobs_.back());
    jobs_.pop_back();
    running_++;
    lock.unlock();
    runJob(std::move(job));
    lock.lock();
    running_--;
  }
  wake_.notify_all();
}

void FolderScan::runJob(Job job) noexcept {
  try {
    if (cancelled_.isSet()) throw ScanFailure{0, "ABORTED", "aborted", ""};
    job();
  } catch (...) {
    failure_.keep();
  }
}

void FolderScan::readDirectory(std::shared_ptr<OwnedFd> parent, uint32_t number, std::string name) {
  Directory* directory;
  {
    std::lock_guard lock(mutex_);
    directory = directories_[number].get();
  }
  OwnedFd opened(openat(parent->get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened) failScan(errno, "cannot open a directory", directory->path);
  auto dir = std::make_shared<OwnedFd>(std::move(opened));
  parent.reset();
  // fdopendir owns its descriptor; ours outlives it, for the files.
  OwnedFd listed = duplicateFd(dir->get());
  std::unique_ptr<DIR, int (*)(DIR*)> list(listed ? fdopendir(listed.get()) : nullptr, closedir);
  if (!list) failScan(errno, "cannot read a directory", directory->path);
  listed.release();
  std::vector<std::pair<uint32_t, std::string>> below;
  for (;;) {
    errno = 0;
    dirent* next = readdir(list.get());
    if (!next) {
      if (errno != 0) failScan(errno, "cannot read a directory", directory->path);
      break;
    }
    if (strcmp(next->d_name, ".") == 0 || strcmp(next->d_name, "..") == 0) continue;
    try {
      addEntry(dir->get(), *directory, next->d_name);
    } catch (ScanFailure& failure) {
      failure.path = directory->path + "/" + next->d_name;
      throw;
    }
  }
  list.reset();
  {
    std::lock_guard lock(mutex_);
    for (ScanEntry& entry : directory->entries) {
      if (!S_ISDIR(entry.st.st_mode)) continue;
      entry.directory = static_cast<uint32_t>(directories_.size());
      directories_.push_back(std::make_unique<Directory>());
      directories_.back()->path = directory->path + "/" + entry.name;
      below.emplace_back(entry.directory, entry.name);
    }
  }
  for (auto& [child, childName] : below)
    push([this, dir, child = child, childName = childName] { readDirectory(dir, child, childName); });
  scheduleFiles(dir, *directory);
}

void FolderScan::addEntry(int dir, Directory& directory, const std::string& name) {
  ScanEntry entry;
  if (fstatat(dir, name.c_str(), &entry.st, AT_SYMLINK_NOFOLLOW) < 0) throw ScanFailure{errno, "", "cannot stat", ""};
  const mode_t type = entry.st.st_mode & S_IFMT;
  if (!options_.devices && (type == S_IFCHR || type == S_IFBLK)) return;
  entry.name = name;
  if (options_.hardlinks && type != S_IFDIR && entry.st.st_nlink > 1 && isFurtherLink(entry.st)) {
    entry.kind = ScanData::Link;
  } else {
    if (type == S_IFLNK) {
      entry.kind = ScanData::Target;
      entry.data = readTarget(dir, name);
    }
    if (options_.xattrs != XattrChoice::None) entry.xattrs = readXattrs(procPath(dir, name));
  }
  directory.entries.push_back(std::move(entry));
}

bool FolderScan::isFurtherLink(const struct stat& st) {
  std::lock_guard lock(mutex_);
  return !links_.emplace(std::pair(st.st_dev, st.st_ino), true).second;
}

// Symlinks are not followed, except for the descriptor itself.
std::string FolderScan::readXattrs(const std::string& path) {
  if (options_.xattrs == XattrChoice::None) return "";
  const bool isRoot = path.find('/', sizeof "/proc/self/fd/" - 1) == std::string::npos;
  char names[kXattrNamesLimit];
  ssize_t length =
      isRoot ? listxattr(path.c_str(), names, sizeof names) : llistxattr(path.c_str(), names, sizeof names);
  if (length < 0 && (errno == EOPNOTSUPP || errno == ENODATA)) return "";
  if (length < 0) throw ScanFailure{errno, "", "cannot list xattrs", ""};
  std::string out;
  std::string value;
  for (const char* name = names; name < names + length; name += strlen(name) + 1) {
    if (options_.xattrs == XattrChoice::User && strncmp(name, "user.", 5) != 0) continue;
    if (value.empty()) value.resize(kXattrLimit);
    ssize_t size = isRoot ? getxattr(path.c_str(), name, value.data(), value.size())
                          : lgetxattr(path.c_str(), name, value.data(), value.size());
    if (size < 0 && errno == ENODATA) continue;
    if (size < 0) throw ScanFailure{errno, "", std::string("cannot read xattr ") + name, ""};
    append(out, static_cast<uint16_t>(strlen(name)));
    append(out, static_cast<uint32_t>(size));
    out += name;
    out.append(value.data(), static_cast<size_t>(size));
  }
  return out;
}

// Per entry, the root first, then directory by directory in the order of their numbers: a head (see ScanAt), the name,
// the data and the xattrs.
std::string FolderScan::serialize() {
  std::string out;
  size_t total = 0;
  const auto measure = [&](const ScanEntry& entry) {
    total += kScanEnd + entry.name.size() + entry.data.size() + entry.xattrs.size();
  };
  measure(rootEntry_);
  for (const auto& directory : directories_)
    for (const ScanEntry& entry : directory->entries) measure(entry);
  out.reserve(total);
  const auto add = [&](uint32_t parent, const ScanEntry& entry) {
    const bool linked = options_.hardlinks && !S_ISDIR(entry.st.st_mode) && entry.st.st_nlink > 1;
    uint8_t head[kScanEnd];
    put<uint32_t>(head, kScanParent, parent);
    put<uint32_t>(head, kScanNumber, entry.directory);
    put<uint32_t>(head, kScanMode, entry.st.st_mode);
    put<uint32_t>(head, kScanUid, entry.st.st_uid);
    put<uint32_t>(head, kScanGid, entry.st.st_gid);
    put<uint32_t>(head, kScanRdev, static_cast<uint32_t>(entry.st.st_rdev));
    put<int64_t>(head, kScanMtimeSec, entry.st.st_mtim.tv_sec);
    put<uint32_t>(head, kScanMtimeNsec, static_cast<uint32_t>(entry.st.st_mtim.tv_nsec));
    put<uint64_t>(head, kScanSize, static_cast<uint64_t>(entry.st.st_size));
    put<uint64_t>(head, kScanDev, linked ? entry.st.st_dev : 0);
    put<uint64_t>(head, kScanIno, linked ? entry.st.st_ino : 0);
    put<uint8_t>(head, kScanData, static_cast<uint8_t>(entry.kind));
    put<uint16_t>(head, kScanNameLength, static_cast<uint16_t>(entry.name.size()));
    put<uint32_t>(head, kScanDataLength, static_cast<uint32_t>(entry.data.size()));
    put<uint32_t>(head, kScanXattrsLength, static_cast<uint32_t>(entry.xattrs.size()));
    out.append(reinterpret_cast<const char*>(head), sizeof head);
    out += entry.name;
    out += entry.data;
    out += entry.xattrs;
  };
  add(0, rootEntry_);
  for (uint32_t number = 0; number < directories_.size(); number++) {
    for (const ScanEntry& entry : directories_[number]->entries) add(number, entry);
    directories_[number].reset();
  }
  return out;
}

}  // namespace cfsbridge
