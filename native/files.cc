// System calls on files and names that Node does not offer. Each is one call, synchronous and quick;
// whatever reads or hashes content lives in the pool instead.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "addon.h"

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
  int fd;
  do {
    fd = static_cast<int>(syscall(SYS_openat2, fdArgument(info, 0), name.c_str(), &how, sizeof how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) throwErrno(info.Env(), errno, "openat2", name);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value Fstatat(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name = byteString(info[1]);
  struct stat st;
  int flags = AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0);
  if (fstatat(fdArgument(info, 0), name.c_str(), &st, flags) < 0) throwErrno(env, errno, "fstatat", name);
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
  if (symlinkat(target.c_str(), fdArgument(info, 1), name.c_str()) < 0) throwErrno(info.Env(), errno, "symlinkat", name);
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
  int copy = openat(fdArgument(info, 0), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) throwErrno(env, errno, "openat", ".");
  DIR* dir = fdopendir(copy);
  if (!dir) {
    int error = errno;
    close(copy);
    throwErrno(env, error, "fdopendir");
  }
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = 0;
  errno = 0;
  while (dirent* entry = readdir(dir)) {
    std::string_view name(entry->d_name);
    if (name == "." || name == "..") continue;
    napi_value text;
    napi_create_string_latin1(env, name.data(), name.size(), &text);
    names.Set(count++, text);
  }
  int error = errno;
  closedir(dir);
  if (error) throwErrno(env, error, "readdir");
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

Napi::Value OpenTree(const Napi::CallbackInfo& info) {
  std::string path = byteString(info[1]);
  int fd = static_cast<int>(syscall(SYS_open_tree, fdArgument(info, 0), path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (fd < 0) throwErrno(info.Env(), errno, "open_tree", path);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value MountId(const Napi::CallbackInfo& info) {
  struct statx stx;
  if (statx(fdArgument(info, 0), "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0) throwErrno(info.Env(), errno, "statx");
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(stx.stx_mnt_id));
}

// The kernel's fs-verity digest of an open file, or null when it has none.
Napi::Value MeasureVerity(const Napi::CallbackInfo& info) {
  alignas(fsverity_digest) uint8_t buffer[sizeof(fsverity_digest) + 64] = {};
  auto* digest = reinterpret_cast<fsverity_digest*>(buffer);
  digest->digest_size = 64;
  if (ioctl(fdArgument(info, 0), FS_IOC_MEASURE_VERITY, digest) < 0) {
    if (errno == ENODATA || errno == ENOTTY || errno == EOPNOTSUPP) return info.Env().Null();
    throwErrno(info.Env(), errno, "FS_IOC_MEASURE_VERITY");
  }
  return Napi::Buffer<uint8_t>::Copy(info.Env(), digest->digest, digest->digest_size);
}

// Turns fs-verity on for a file that nobody has open for writing. False when the filesystem has none, or has smaller blocks.
Napi::Value EnableVerity(const Napi::CallbackInfo& info) {
  fsverity_enable_arg arg = {};
  arg.version = 1;
  arg.hash_algorithm = info[1].As<Napi::Number>().Uint32Value();
  arg.block_size = 4096;
  if (ioctl(fdArgument(info, 0), FS_IOC_ENABLE_VERITY, &arg) == 0 || errno == EEXIST)
    return Napi::Boolean::New(info.Env(), true);
  if (errno == ENOTTY || errno == EOPNOTSUPP || errno == EINVAL) return Napi::Boolean::New(info.Env(), false);
  throwErrno(info.Env(), errno, "FS_IOC_ENABLE_VERITY");
}

Napi::Value Syncfs(const Napi::CallbackInfo& info) {
  struct Worker : Napi::AsyncWorker {
    Napi::Promise::Deferred deferred;
    int fd, error = 0;
    Worker(Napi::Env env, int fd) : AsyncWorker(env), deferred(env), fd(fd) {}
    void Execute() override {
      if (syncfs(fd) < 0) error = errno;
    }
    void OnOK() override {
      if (error) deferred.Reject(errnoError(Env(), error, "syncfs").Value());
      else deferred.Resolve(Env().Undefined());
    }
  };
  auto* worker = new Worker(info.Env(), fdArgument(info, 0));
  Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

Napi::Value DupCloexec(const Napi::CallbackInfo& info) {
  int fd = fcntl(fdArgument(info, 0), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throwErrno(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)");
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

void initFiles(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("openat2", Openat2);
  add("fstatat", Fstatat);
  add("readlinkat", Readlinkat);
  add("symlinkat", Symlinkat);
  add("renameat2", Renameat2);
  add("unlinkat", Unlinkat);
  add("mkdirat", Mkdirat);
  add("linkFd", LinkFd);
  add("readdir", Readdir);
  add("ofdLock", OfdLock);
  add("flock", Flock);
  add("openTree", OpenTree);
  add("mountId", MountId);
  add("measureVerity", MeasureVerity);
  add("enableVerity", EnableVerity);
  add("syncfs", Syncfs);
  add("dupCloexec", DupCloexec);
  add("pipe", Pipe);
  add("returnFreedMemory", ReturnFreedMemory);
  add("close", CloseFd);
}

}  // namespace cfsbridge
