// What garbage collection does many times over: removing files of one directory, and asking whether somebody uses one.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "addon.h"

namespace cfsbridge {
namespace {

// Removes, or only counts, files by name in one directory, away from JavaScript's thread.
class Removal : public Napi::AsyncWorker {
 public:
  Removal(Napi::Env env, int dir, std::string names, bool remove)
      : AsyncWorker(env), deferred_(env), dir_(dir), names_(std::move(names)), remove_(remove) {}

  Napi::Promise promise() { return deferred_.Promise(); }

  void Execute() override {
    for (size_t at = 0; at < names_.size();) {
      const char* name = names_.c_str() + at;
      at = names_.find('\0', at) + 1;
      struct stat st;
      if (fstatat(dir_, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) continue;
        return stop("fstatat", name);
      }
      if (S_ISDIR(st.st_mode)) {
        refused_.push_back({name, EISDIR});
        continue;
      }
      if (remove_ && unlinkat(dir_, name, 0) < 0) {
        if (errno == ENOENT) continue;
        if (errno != EPERM && errno != EACCES && errno != EBUSY) return stop("unlinkat", name);
        refused_.push_back({name, errno});
        continue;
      }
      count_++;
      bytes_ += static_cast<uint64_t>(st.st_size);
    }
  }

  void OnOK() override {
    Napi::Env env = Env();
    if (error_) return deferred_.Reject(errnoError(env, error_, syscall_, failed_).Value());
    Napi::Array refused = Napi::Array::New(env, refused_.size());
    for (uint32_t i = 0; i < refused_.size(); i++) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("name", refused_[i].name);
      entry.Set("error", errnoError(env, refused_[i].error, remove_ ? "unlinkat" : "fstatat").Value());
      refused.Set(i, entry);
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("count", Napi::Number::New(env, static_cast<double>(count_)));
    result.Set("bytes", Napi::Number::New(env, static_cast<double>(bytes_)));
    result.Set("refused", refused);
    deferred_.Resolve(result);
  }

 private:
  struct Refused {
    std::string name;
    int error;
  };

  // A failure that the next file would meet, too: a read-only or broken filesystem.
  void stop(const char* syscall, const char* name) {
    error_ = errno;
    syscall_ = syscall;
    failed_ = name;
  }

  Napi::Promise::Deferred deferred_;
  int dir_;
  std::string names_;
  bool remove_;
  uint64_t count_ = 0;
  uint64_t bytes_ = 0;
  std::vector<Refused> refused_;
  int error_ = 0;
  const char* syscall_ = "";
  std::string failed_;
};

// removeFiles(dir, names, remove): `names` are bytes, each with a NUL behind it.
Napi::Value RemoveFiles(const Napi::CallbackInfo& info) {
  auto names = info[1].As<Napi::Uint8Array>();
  std::string packed(reinterpret_cast<const char*>(names.Data()), names.ByteLength());
  if (!packed.empty() && packed.back() != '\0') throw Napi::TypeError::New(info.Env(), "the last name has no end");
  auto* removal = new Removal(info.Env(), fdArgument(info, 0), std::move(packed), info[2].ToBoolean().Value());
  Napi::Promise promise = removal->promise();
  removal->Queue();
  return promise;
}

// Whether anybody else has the file open: processes, mounts backed by it, loop devices. The kernel grants a write lease
// to the only user of a file. Null when it does not say: no owner's rights, or a filesystem without leases.
Napi::Value InUse(const Napi::CallbackInfo& info) {
  int fd = fdArgument(info, 0);
  // Somebody who opens the file in the moment the lease lasts must not have us killed, which SIGIO would do.
  fcntl(fd, F_SETSIG, SIGURG);
  if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return Napi::Boolean::New(info.Env(), false);
  }
  if (errno == EAGAIN) return Napi::Boolean::New(info.Env(), true);
  return info.Env().Null();
}

}  // namespace

void initRemove(Napi::Env env, Napi::Object exports) {
  exports.Set("removeFiles", Napi::Function::New(env, RemoveFiles, "removeFiles"));
  exports.Set("inUse", Napi::Function::New(env, InUse, "inUse"));
}

}  // namespace cfsbridge
