// What becomes of the entries of a layer, in the order in which containers-storage does it.
#include "extract/extraction.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "base/file_io.h"
#include "base/op_reader.h"

namespace cfsbridge {
namespace {

constexpr mode_t kPermissions = 0777, kAllModes = 07777;

constexpr const char* kCannotLook = "cannot look at what was made";
constexpr unsigned kMajorBits = 12, kMinorBits = 20;

struct stat statOf(int fd) {
  struct stat st;
  if (fstat(fd, &st) < 0) failErrno(errno, kCannotLook);
  return st;
}

std::string pathBelow(int folder, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(folder) + "/" + name;
}

// With errno.
[[noreturn]] void failToMake() {
  if (errno == ENAMETOOLONG) fail("LAYER_PATH", "its name or target is longer than this file system takes");
  failErrno(errno, "cannot make it");
}

[[noreturn]] void failTarget(const char* what) { fail("LAYER_HARDLINK", std::string("the hardlink's target ") + what); }

std::string_view readText(OpReader& ops, size_t length) {
  return std::string_view(reinterpret_cast<const char*>(ops.bytes(length)), length);
}

struct timespec readTime(OpReader& ops) {
  struct timespec time;
  time.tv_sec = static_cast<time_t>(ops.number<int64_t>());
  time.tv_nsec = ops.number<uint32_t>();
  return time;
}

// Takes no memory unless it is to be kept.
LayerEntry readEntry(OpReader& ops, bool keep) {
  LayerEntry entry;
  entry.kind = static_cast<EntryKind>(ops.number<uint8_t>());
  entry.owned = ops.number<uint8_t>() != 0;
  entry.mode = ops.number<uint32_t>() & kAllModes;
  entry.uid = ops.number<uint32_t>();
  entry.gid = ops.number<uint32_t>();
  entry.major = ops.number<uint32_t>();
  entry.minor = ops.number<uint32_t>();
  entry.times[0] = readTime(ops);
  entry.times[1] = readTime(ops);
  entry.size = ops.number<uint64_t>();
  entry.offset = ops.number<uint64_t>();
  const size_t path = ops.number<uint16_t>(), target = ops.number<uint16_t>(), xattrs = ops.number<uint16_t>();
  entry.path = readText(ops, path);
  entry.target = readText(ops, target);
  if (keep) entry.xattrs.reserve(xattrs);
  for (size_t i = 0; i < xattrs; i++) {
    EntryXattr xattr;
    xattr.needed = ops.number<uint8_t>() != 0;
    const size_t name = ops.number<uint16_t>(), value = ops.number<uint32_t>();
    xattr.name = readText(ops, name);
    xattr.value = readText(ops, value);
    if (keep) entry.xattrs.push_back(xattr);
  }
  return entry;
}

ExtractOp readOp(OpReader& ops, std::vector<LayerEntry>* entries) {
  ExtractOp op;
  op.kind = static_cast<Operation>(ops.number<uint8_t>());
  switch (op.kind) {
    case Operation::Bytes:
    case Operation::Data:
    case Operation::Memory:
    case Operation::Text:
      op.size = ops.number<uint32_t>();
      op.data = ops.bytes(op.size);
      break;
    case Operation::Named: {
      op.dir = ops.number<int32_t>();
      op.size = ops.number<uint64_t>();
      const size_t length = ops.number<uint16_t>();
      op.name = readText(ops, length);
      break;
    }
    case Operation::Open:
      op.fd.reset(ops.number<int32_t>());
      op.size = ops.number<uint64_t>();
      break;
    case Operation::DataBegin:
      op.size = ops.number<uint64_t>();
      break;
    case Operation::DataEnd:
    case Operation::Segment:
    case Operation::Checksum:
      break;
    case Operation::Entry: {
      // Where there is too little memory for it, what comes behind it is read all the same.
      OpReader record = ops;
      readEntry(ops, false);
      if (!entries) break;
      op.entry = entries->size();
      entries->push_back(readEntry(record, true));
      break;
    }
    default:
      fail("INVALID_BATCH", "unknown operation");
  }
  return op;
}

}  // namespace

void Extraction::add(const uint8_t* bytes, size_t size) {
  std::shared_ptr<ExtractBatch> batch;
  OpReader rest(bytes, size);
  try {
    batch = std::make_shared<ExtractBatch>();
    batch->bytes.reset(new uint8_t[size + 1]);
    memcpy(batch->bytes.get(), bytes, size);
    for (rest = OpReader(batch->bytes.get(), size); !rest.done();) batch->ops.push_back(readOp(rest, &batch->entries));
    stages_.add(std::move(batch));
  } catch (const std::bad_alloc&) {
    while (!rest.done()) readOp(rest, nullptr);
    throw;
  }
}

void Extraction::stopIfCancelled() const {
  if (cancelled_.isSet()) fail("ABORTED", "aborted");
}

template <typename Call>
void Extraction::forEachOp(const std::shared_ptr<ExtractBatch>& batch, Cursor& cursor, Call&& call) {
  try {
    for (ExtractOp& op : batch->ops) {
      stopIfCancelled();
      if (op.kind == Operation::Entry) cursor = {&batch->entries[op.entry], batch};
      call(op, cursor.entry);
    }
  } catch (...) {
    if (!cursor.entry) throw;
    throw EntryFailure{std::current_exception(), std::string(cursor.entry->path), cursor.entry->offset};
  }
}

Extraction::Extraction(OwnedFd root, ExtractSettings settings, CancelFlag cancelled)
    : folder_(std::move(root)),
      settings_(settings),
      cancelled_(cancelled),
      stages_({
          [this](const Stages::Batch& batch) {
            forEachOp(batch, placed_, [&](ExtractOp& op, const LayerEntry* entry) { placeOp(op, entry); });
          },
          [this](const Stages::Batch& batch) {
            forEachOp(batch, filled_, [&](ExtractOp& op, const LayerEntry* entry) { fillOp(op, entry); });
          },
          [this](const Stages::Batch& batch) {
            forEachOp(batch, hashed_, [&](ExtractOp& op, const LayerEntry*) { hashOp(*batch, op); });
          },
      }) {}

void Extraction::placeOp(ExtractOp& op, const LayerEntry* entry) {
  switch (op.kind) {
    case Operation::Entry:
      placeEntry(*entry, op);
      break;
    case Operation::Named:
    case Operation::Open:
      op.file = std::move(file_);
      break;
    case Operation::Memory:
      if (file_) op.way = ContentWay::Inline;
      write(op);
      completeFile(entry);
      break;
    case Operation::DataBegin:
      if (file_) op.way = ContentWay::Inline;
      break;
    case Operation::Data:
      write(op);
      break;
    case Operation::DataEnd:
      completeFile(entry);
      break;
    default:
      break;
  }
}

void Extraction::fillOp(ExtractOp& op, const LayerEntry* entry) {
  switch (op.kind) {
    case Operation::Entry:
      // A hardlink changes the inode of a file that has only now got what its own entry says.
      if (op.file) describeLink(op.file.get(), *entry);
      op.file.reset();
      break;
    case Operation::Named:
    case Operation::Open:
      fill(op, entry);
      break;
    default:
      break;
  }
}

void Extraction::placeEntry(const LayerEntry& entry, ExtractOp& op) {
  if (file_) fail("INVALID_BATCH", "an entry without its content");
  const bool isMark = entry.kind == EntryKind::Whiteout || entry.kind == EntryKind::Opaque;
  try {
    placeAt(folder_.place(entry.path, true), entry, op);
  } catch (const StoreError& error) {
    // Of something that is hidden itself: some programs write marks for all that was below it.
    if (!isMark || error.code != "LAYER_PARENT") throw;
  }
}

void Extraction::placeAt(const EntryPlace& place, const LayerEntry& entry, ExtractOp& op) {
  const int parent = place.parent;
  const char* name = place.name.c_str();
  // Calls what makes the entry, once more when what was there is gone.
  const auto make = [&](auto&& call) {
    if (call() == 0) return;
    if (errno == EEXIST) {
      folder_.remove(place);
      if (call() == 0) return;
    }
    failToMake();
  };
  const auto device = [&](mode_t type) {
    if (entry.major >> kMajorBits != 0 || entry.minor >> kMinorBits != 0)
      fail("LAYER_DEVICE", "no device can have its number");
    return mknodat(parent, name, type | entry.mode, makedev(entry.major, entry.minor));
  };
  switch (entry.kind) {
    case EntryKind::File:
      return placeFile(place, entry);
    case EntryKind::Hardlink:
      folder_.remove(place);
      return placeLink(entry, op);
    case EntryKind::Symlink:
      make([&] { return symlinkat(std::string(entry.target).c_str(), parent, name); });
      return describe(place, entry);
    case EntryKind::Char:
      make([&] { return device(S_IFCHR); });
      return describe(place, entry);
    case EntryKind::Block:
      make([&] { return device(S_IFBLK); });
      return describe(place, entry);
    case EntryKind::Fifo:
      make([&] { return device(S_IFIFO); });
      return describe(place, entry);
    case EntryKind::Directory: {
      struct stat st;
      make([&] {
        if (mkdirat(parent, name, entry.mode & kPermissions) == 0) return 0;
        if (errno != EEXIST || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -1;
        errno = EEXIST;
        return S_ISDIR(st.st_mode) ? 0 : -1;
      });
      folders_.push_back({std::string(entry.path), entry.offset, {entry.times[0], entry.times[1]}});
      return describe(place, entry);
    }
    case EntryKind::Whiteout:
      if (mknodat(parent, name, S_IFCHR, 0) < 0) {
        if (errno == EEXIST) fail("LAYER_WHITEOUT", "the layer itself has what its whiteout hides");
        failErrno(errno, "cannot make the device of a whiteout");
      }
      if (fchownat(parent, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) < 0)
        failErrno(errno, "cannot set the owner of a whiteout");
      return;
    case EntryKind::Opaque:
      for (const EntryXattr& xattr : entry.xattrs) setXattr(xattr, pathBelow(parent, "."), -1);
      return;
    case EntryKind::Nothing:
      if (!entry.path.empty()) folder_.remove(place);
      return;
  }
  fail("INVALID_BATCH", "unknown kind of entry");
}

// Content is read again from what was made, when it is hashed, and that is no access.
void Extraction::placeFile(const EntryPlace& place, const LayerEntry& entry) {
  constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOATIME;
  const auto create = [&] {
    return OwnedFd(openat(place.parent, place.name.c_str(), flags, entry.mode & kPermissions));
  };
  OwnedFd file = create();
  if (!file && errno == EEXIST) {
    folder_.remove(place);
    file = create();
  }
  if (!file) failToMake();
  if (entry.size == 0) return describeFile(file.get(), statOf(file.get()), entry);
  file_ = std::move(file);
  written_ = 0;
}

void Extraction::placeLink(const LayerEntry& entry, ExtractOp& op) {
  // The second place that is asked for may end the first one's descriptor.
  OwnedFd targetParent;
  std::string target;
  try {
    const EntryPlace found = folder_.place(entry.target, false);
    targetParent = duplicateFd(found.parent);
    if (!targetParent) failErrno(errno, "cannot open the folder of its target");
    target = found.name;
  } catch (const StoreError& error) {
    if (error.code != "ENOENT" && error.code != "LAYER_PARENT") throw;
    failTarget("does not exist at this point");
  }
  const EntryPlace place = folder_.place(entry.path, true);
  if (linkat(targetParent.get(), target.c_str(), place.parent, place.name.c_str(), 0) < 0) {
    const int error = errno;
    struct stat st;
    if (error == ENOENT) failTarget("does not exist at this point");
    if (fstatat(targetParent.get(), target.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
      failTarget("is a directory");
    errno = error;
    failToMake();
  }
  op.file = duplicateFd(place.parent);
  if (!op.file) failErrno(errno, "cannot open the folder it is in");
}

// `folder`: the one it is in, which may have been replaced since.
void Extraction::describeLink(int folder, const LayerEntry& entry) {
  const std::string name(entry.path.substr(entry.path.rfind('/') + 1));
  struct stat st;
  if (fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
    describe({folder, name}, entry, st);
  else if (errno != ENOENT)
    failErrno(errno, kCannotLook);
}

void Extraction::describe(const EntryPlace& place, const LayerEntry& entry) {
  struct stat st;
  if (fstatat(place.parent, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) failErrno(errno, kCannotLook);
  describe(place, entry, st);
}

void Extraction::describe(const EntryPlace& place, const LayerEntry& entry, struct stat st) {
  const int parent = place.parent;
  const char* name = place.name.c_str();
  if (entry.owned && (st.st_uid != entry.uid || st.st_gid != entry.gid)) {
    if (fchownat(parent, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) < 0) failErrno(errno, "cannot set its owner");
    // Which takes some bits away.
    st.st_mode &= ~kAllModes;
  }
  const bool isLink = S_ISLNK(st.st_mode);
  if (!isLink && (st.st_mode & kAllModes) != entry.mode && fchmodat(parent, name, entry.mode, 0) < 0)
    failErrno(errno, "cannot set its mode");
  // Those of folders come in the end, and hardlinks leave those of a symlink alone.
  if (entry.kind != EntryKind::Directory && (!isLink || entry.kind == EntryKind::Symlink) &&
      utimensat(parent, name, entry.times, AT_SYMLINK_NOFOLLOW) < 0)
    failErrno(errno, "cannot set its times");
  if (entry.xattrs.empty()) return;
  const std::string path = pathBelow(parent, place.name);
  for (const EntryXattr& xattr : entry.xattrs) setXattr(xattr, path, -1);
}

void Extraction::describeFile(int fd, struct stat st, const LayerEntry& entry) {
  if (entry.owned && (st.st_uid != entry.uid || st.st_gid != entry.gid)) {
    if (fchown(fd, entry.uid, entry.gid) < 0) failErrno(errno, "cannot set its owner");
    st.st_mode &= ~kAllModes;
  }
  if ((st.st_mode & kAllModes) != entry.mode && fchmod(fd, entry.mode) < 0) failErrno(errno, "cannot set its mode");
  if (futimens(fd, entry.times) < 0) failErrno(errno, "cannot set its times");
  for (const EntryXattr& xattr : entry.xattrs) setXattr(xattr, "", fd);
}

// By descriptor, or by a path whose last part is not followed where there is none.
void Extraction::setXattr(const EntryXattr& xattr, const std::string& path, int fd) {
  const std::string name(xattr.name);
  const int failed = fd >= 0 ? fsetxattr(fd, name.c_str(), xattr.value.data(), xattr.value.size(), 0)
                             : lsetxattr(path.c_str(), name.c_str(), xattr.value.data(), xattr.value.size(), 0);
  if (failed == 0) return;
  if (!xattr.needed && (errno == EOPNOTSUPP || (errno == EPERM && settings_.userNamespace))) return;
  failErrno(errno, "cannot set one of its extended attributes");
}

void Extraction::write(const ExtractOp& op) {
  if (!file_) return;
  writeExactly(file_.get(), op.data, op.size, written_);
  written_ += op.size;
}

void Extraction::completeFile(const LayerEntry* entry) {
  if (!file_) return;
  if (written_ != entry->size) failContentSize();
  describeFile(file_.get(), statOf(file_.get()), *entry);
  file_.reset();
}

void Extraction::finish() {
  for (const Folder& folder : folders_) {
    stopIfCancelled();
    try {
      const EntryPlace place = folder_.place(folder.path, false);
      struct stat st;
      if (fstatat(place.parent, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) continue;
        failErrno(errno, "cannot look at a folder");
      }
      // Another entry replaced it.
      if (!S_ISDIR(st.st_mode)) continue;
      if (utimensat(place.parent, place.name.c_str(), folder.times, AT_SYMLINK_NOFOLLOW) < 0)
        failErrno(errno, "cannot set its times");
    } catch (const StoreError& error) {
      if (error.code == "ENOENT" || error.code == "LAYER_PARENT") continue;
      throw EntryFailure{std::current_exception(), folder.path, folder.offset};
    }
  }
}

}  // namespace cfsbridge
