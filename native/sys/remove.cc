// Removing many files of one directory, away from JavaScript's thread, as garbage collection does.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/addon.h"

namespace cfsbridge {
namespace {

// Removes, or only counts, files by name.
class Removal : public PromiseJob {
 public:
  Removal(Napi::Env env, int dir, std::string names, bool remove)
      : PromiseJob(env), dir_(dir), names_(std::move(names)), remove_(remove) {}

 private:
  void work() override {
    for (size_t at = 0; at < names_.size();) {
      const char* name = names_.c_str() + at;
      at = names_.find('\0', at) + 1;
      struct stat st;
      if (fstatat(dir_, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) continue;
        stop("fstatat", name);
      }
      if (S_ISDIR(st.st_mode)) {
        refused_.push_back({name, EISDIR});
        continue;
      }
      if (remove_ && unlinkat(dir_, name, 0) < 0) {
        if (errno == ENOENT) continue;
        if (errno != EPERM && errno != EACCES && errno != EBUSY) stop("unlinkat", name);
        const int error = errno;
        refused_.push_back({name, error});
        continue;
      }
      count_++;
      bytes_ += static_cast<uint64_t>(st.st_size);
    }
  }

  Napi::Value result(Napi::Env env) override {
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
    return result;
  }

  struct Refused {
    std::string name;
    int error;
  };

  // A failure that the next file would meet, too: a read-only or broken filesystem.
  [[noreturn]] static void stop(const char* syscall, const char* name) {
    const int error = errno;
    throw SystemError{error, syscall, name};
  }

  int dir_;
  std::string names_;
  bool remove_;
  uint64_t count_ = 0;
  uint64_t bytes_ = 0;
  std::vector<Refused> refused_;
};

// removeFiles(dir, names, remove): `names` are bytes, each with a NUL behind it.
Napi::Value RemoveFiles(const Napi::CallbackInfo& info) {
  auto names = info[1].As<Napi::Uint8Array>();
  std::string packed(reinterpret_cast<const char*>(names.Data()), names.ByteLength());
  if (!packed.empty() && packed.back() != '\0') throw Napi::TypeError::New(info.Env(), "the last name has no end");
  return PromiseJob::start<Removal>(info.Env(), fdArgument(info, 0), std::move(packed), info[2].ToBoolean().Value());
}

}  // namespace

void initRemove(Napi::Env, Napi::Object exports) { addFunction<RemoveFiles>(exports, "removeFiles"); }

}  // namespace cfsbridge
