// System calls on files and names that Node does not offer. Each is one call, synchronous and quick;
// whatever reads or hashes content lives in the pool instead.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "base/addon.h"
#include "base/file_io.h"
#include "hash/kernel_verity.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

namespace cfsbridge {
namespace {

Napi::Value Openat2(const Napi::CallbackInfo& info) {
  std::string name = byteString(info[1]);
  open_how how = {};
  how.flags = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value()) | O_CLOEXEC;
  how.mode = info[3].As<Napi::Number>().Uint32Value();
  how.resolve = info[4].As<Napi::Number>().Uint32Value();
  int fd = openat2Retrying(fdArgument(info, 0), name.c_str(), how);
  if (fd < 0) throwErrno(info.Env(), errno, "openat2", name);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Object statFacts(Napi::Env env, const struct stat& st) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("dev", Napi::BigInt::New(env, static_cast<uint64_t>(st.st_dev)));
  result.Set("ino", Napi::BigInt::New(env, static_cast<uint64_t>(st.st_ino)));
  result.Set("mode", st.st_mode);
  result.Set("nlink", static_cast<double>(st.st_nlink));
  result.Set("uid", st.st_uid);
  result.Set("gid", st.st_gid);
  result.Set("rdev", Napi::BigInt::New(env, static_cast<uint64_t>(st.st_rdev)));
  result.Set("size", static_cast<double>(st.st_size));
  result.Set("mtimeSec", Napi::BigInt::New(env, static_cast<int64_t>(st.st_mtim.tv_sec)));
  result.Set("mtimeNsec", static_cast<double>(st.st_mtim.tv_nsec));
  result.Set("ctimeSec", Napi::BigInt::New(env, static_cast<int64_t>(st.st_ctim.tv_sec)));
  result.Set("ctimeNsec", static_cast<double>(st.st_ctim.tv_nsec));
  return result;
}

Napi::Value Fstatat(const Napi::CallbackInfo& info) {
  std::string name = byteString(info[1]);
  struct stat st;
  int flags = AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0);
  if (fstatat(fdArgument(info, 0), name.c_str(), &st, flags) < 0) throwErrno(info.Env(), errno, "fstatat", name);
  return statFacts(info.Env(), st);
}

// The same for a name of several parts, none of which may be a symlink but the last, which is not followed.
Napi::Value StatBeneath(const Napi::CallbackInfo& info) {
  std::string name = byteString(info[1]);
  open_how how = {};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  OwnedFd fd(openat2Retrying(fdArgument(info, 0), name.c_str(), how));
  if (!fd) throwErrno(info.Env(), errno, "openat2", name);
  struct stat st;
  if (fstat(fd.get(), &st) < 0) throwErrno(info.Env(), errno, "fstat", name);
  return statFacts(info.Env(), st);
}

Napi::Value Readlinkat(const Napi::CallbackInfo& info) {
  std::string name = byteString(info[1]);
  char target[4096];
  ssize_t length = readlinkat(fdArgument(info, 0), name.c_str(), target, sizeof target);
  if (length < 0) throwErrno(info.Env(), errno, "readlinkat", name);
  napi_value result;
  napi_create_string_latin1(info.Env(), target, static_cast<size_t>(length), &result);
  return Napi::Value(info.Env(), result);
}

Napi::Value Symlinkat(const Napi::CallbackInfo& info) {
  std::string target = byteString(info[0]), name = byteString(info[2]);
  if (symlinkat(target.c_str(), fdArgument(info, 1), name.c_str()) < 0)
    throwErrno(info.Env(), errno, "symlinkat", name);
  return info.Env().Undefined();
}

Napi::Value Renameat2(const Napi::CallbackInfo& info) {
  std::string from = byteString(info[1]), to = byteString(info[3]);
  unsigned flags = info[4].As<Napi::Number>().Uint32Value();
  if (syscall(SYS_renameat2, fdArgument(info, 0), from.c_str(), fdArgument(info, 2), to.c_str(), flags) < 0)
    throwErrno(info.Env(), errno, "renameat2", to);
  return info.Env().Undefined();
}

Napi::Value Unlinkat(const Napi::CallbackInfo& info) {
  std::string name = byteString(info[1]);
  int flags = info[2].As<Napi::Number>().Int32Value();
  if (unlinkat(fdArgument(info, 0), name.c_str(), flags) < 0) throwErrno(info.Env(), errno, "unlinkat", name);
  return info.Env().Undefined();
}

Napi::Value Mkdirat(const Napi::CallbackInfo& info) {
  std::string name = byteString(info[1]);
  if (mkdirat(fdArgument(info, 0), name.c_str(), info[2].As<Napi::Number>().Uint32Value()) < 0)
    throwErrno(info.Env(), errno, "mkdirat", name);
  return info.Env().Undefined();
}

// Links an open file (an O_TMPFILE one, say) to a name; never replaces.
Napi::Value LinkFd(const Napi::CallbackInfo& info) {
  std::string source = "/proc/self/fd/" + std::to_string(fdArgument(info, 0)), name = byteString(info[2]);
  if (linkat(AT_FDCWD, source.c_str(), fdArgument(info, 1), name.c_str(), AT_SYMLINK_FOLLOW) < 0)
    throwErrno(info.Env(), errno, "linkat", name);
  return info.Env().Undefined();
}

Napi::Value Readdir(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OwnedFd copy(openat(fdArgument(info, 0), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) throwErrno(env, errno, "openat", ".");
  std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(copy.get()), closedir);
  if (!dir) throwErrno(env, errno, "fdopendir");
  copy.release();
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (!entry) break;
    std::string_view name(entry->d_name);
    if (name == "." || name == "..") continue;
    napi_value text;
    napi_create_string_latin1(env, name.data(), name.size(), &text);
    names.Set(count++, text);
  }
  if (errno) throwErrno(env, errno, "readdir");
  return names;
}

// A POSIX record lock owned by the open file description, on the whole file. Returns false when
// another owner holds a conflicting one and waiting was not asked for.
Napi::Value OfdLock(const Napi::CallbackInfo& info) {
  std::string kind = byteString(info[1]);
  struct flock lock = {};
  lock.l_type = kind == "shared" ? F_RDLCK : kind == "exclusive" ? F_WRLCK : F_UNLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fdArgument(info, 0), F_OFD_SETLK, &lock) == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno == EAGAIN || errno == EACCES) return Napi::Boolean::New(info.Env(), false);
  throwErrno(info.Env(), errno, "fcntl(F_OFD_SETLK)");
}

// flock(2) without waiting; false when somebody else holds a conflicting lock.
Napi::Value Flock(const Napi::CallbackInfo& info) {
  std::string kind = byteString(info[1]);
  int operation = kind == "shared" ? LOCK_SH : kind == "exclusive" ? LOCK_EX : LOCK_UN;
  if (flock(fdArgument(info, 0), operation | LOCK_NB) == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
  throwErrno(info.Env(), errno, "flock");
}

// A clone of the mount at a path, without the mounts on it; an empty path means the directory itself.
Napi::Value OpenTree(const Napi::CallbackInfo& info) {
  std::string path = byteString(info[1]);
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (path.empty() ? AT_EMPTY_PATH : 0);
  int fd = static_cast<int>(syscall(SYS_open_tree, fdArgument(info, 0), path.c_str(), flags));
  if (fd < 0) throwErrno(info.Env(), errno, "open_tree", path);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value MountId(const Napi::CallbackInfo& info) {
  struct statx stx;
  if (statx(fdArgument(info, 0), "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0) throwErrno(info.Env(), errno, "statx");
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(stx.stx_mnt_id));
}

// The kernel's fs-verity digest of an open file, or undefined when it has none.
Napi::Value MeasureVerity(const Napi::CallbackInfo& info) {
  Digest digest;
  const size_t size = measureVerity(fdArgument(info, 0), digest);
  if (size > 0) return Napi::Buffer<uint8_t>::Copy(info.Env(), digest.data(), size);
  if (errno == ENODATA || errno == ENOTTY || errno == EOPNOTSUPP) return info.Env().Undefined();
  throwErrno(info.Env(), errno, "FS_IOC_MEASURE_VERITY");
}

// Turns fs-verity on for a file that nobody has open for writing. False when the filesystem has none, or has smaller
// blocks.
Napi::Value EnableVerity(const Napi::CallbackInfo& info) {
  const int error = enableVerity(fdArgument(info, 0), info[1].As<Napi::Number>().Uint32Value());
  if (error && !isVerityUnsupported(error)) throwErrno(info.Env(), error, "FS_IOC_ENABLE_VERITY");
  return Napi::Boolean::New(info.Env(), error == 0);
}

class SyncJob : public PromiseJob {
 public:
  SyncJob(Napi::Env env, int fd) : PromiseJob(env), fd_(fd) {}

 private:
  void work() override {
    if (syncfs(fd_) < 0) throw SystemError{errno, "syncfs", ""};
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  const int fd_;
};

// syncfs(fd): the descriptor must stay open until the promise settles.
Napi::Value Syncfs(const Napi::CallbackInfo& info) {
  return PromiseJob::start<SyncJob>(info.Env(), fdArgument(info, 0));
}

Napi::Value DupCloexec(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), duplicatedFd(info, 0).release());
}

// A file in memory without a name, close-on-exec; `label` is what /proc shows.
Napi::Value Memfd(const Napi::CallbackInfo& info) {
  std::string label = byteString(info[0]);
  int fd = memfd_create(label.c_str(), MFD_CLOEXEC);
  if (fd < 0) throwErrno(info.Env(), errno, "memfd_create");
  return Napi::Number::New(info.Env(), fd);
}

// [read end, write end], both close-on-exec.
Napi::Value Pipe(const Napi::CallbackInfo& info) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throwErrno(info.Env(), errno, "pipe2");
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(0u, ends[0]);
  result.Set(1u, ends[1]);
  return result;
}

// Large buffers go back to the system when they are freed, instead of staying with one of malloc's arenas. For
// programs of our own; a library leaves its host's malloc alone.
Napi::Value ReturnFreedMemory(const Napi::CallbackInfo& info) {
  mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
  mallopt(M_ARENA_MAX, 2);
  return info.Env().Undefined();
}

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  if (close(fdArgument(info, 0)) < 0 && errno == EBADF) throwErrno(info.Env(), errno, "close");
  return info.Env().Undefined();
}

}  // namespace

void initFiles(Napi::Env, Napi::Object exports) {
  addFunction<Openat2>(exports, "openat2");
  addFunction<Fstatat>(exports, "fstatat");
  addFunction<StatBeneath>(exports, "statBeneath");
  addFunction<Readlinkat>(exports, "readlinkat");
  addFunction<Symlinkat>(exports, "symlinkat");
  addFunction<Renameat2>(exports, "renameat2");
  addFunction<Unlinkat>(exports, "unlinkat");
  addFunction<Mkdirat>(exports, "mkdirat");
  addFunction<LinkFd>(exports, "linkFd");
  addFunction<Readdir>(exports, "readdir");
  addFunction<OfdLock>(exports, "ofdLock");
  addFunction<Flock>(exports, "flock");
  addFunction<OpenTree>(exports, "openTree");
  addFunction<MountId>(exports, "mountId");
  addFunction<MeasureVerity>(exports, "measureVerity");
  addFunction<EnableVerity>(exports, "enableVerity");
  addFunction<Syncfs>(exports, "syncfs");
  addFunction<DupCloexec>(exports, "dupCloexec");
  addFunction<Memfd>(exports, "memfd");
  addFunction<Pipe>(exports, "pipe");
  addFunction<ReturnFreedMemory>(exports, "returnFreedMemory");
  addFunction<CloseFd>(exports, "close");
}

}  // namespace cfsbridge
