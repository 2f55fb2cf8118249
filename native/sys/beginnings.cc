// The beginnings of many files, most of which are small: opened, read and closed away from JavaScript, which would wait
// for the disk once for each.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/addon.h"
#include "base/file_io.h"

namespace cfsbridge {
namespace {

struct Beginning {
  int64_t size = -1;  // of the file, if it is a regular one
  size_t end = 0;     // of the beginning, among the bytes of all
  OwnedFd fd;         // of a file that goes on
  std::exception_ptr failure;
};

class BeginningsJob : public PromiseJob {
 public:
  BeginningsJob(Napi::Env env, OwnedFd folder, std::vector<std::string> names, int64_t most)
      : PromiseJob(env), folder_(std::move(folder)), names_(std::move(names)), most_(most), files_(names_.size()) {}

 private:
  void work() override {
    bytes_.reset(new uint8_t[names_.size() * static_cast<size_t>(most_)]);
    size_t used = 0;
    for (size_t i = 0; i < names_.size(); i++) {
      try {
        used += read(names_[i], files_[i], bytes_.get() + used);
      } catch (...) {
        files_[i].failure = std::current_exception();
      }
      files_[i].end = used;
    }
  }

  // How much it has read.
  size_t read(const std::string& name, Beginning& file, uint8_t* into) {
    OwnedFd fd = tryOpenBeneath(folder_.get(), name);
    if (!fd) throw SystemError{errno, "openat2", name};
    struct stat st;
    if (fstat(fd.get(), &st) < 0) throw SystemError{errno, "fstat", name};
    if (!S_ISREG(st.st_mode)) return 0;
    const int64_t got = readFully(fd.get(), into, static_cast<uint64_t>(std::clamp<int64_t>(st.st_size, 0, most_)), 0);
    if (got < 0) throw SystemError{errno, "pread", name};
    file.size = st.st_size;
    if (file.size > most_) file.fd = std::move(fd);
    return static_cast<size_t>(got);
  }

  Napi::Value result(Napi::Env env) override {
    const size_t count = files_.size();
    Napi::Object result = Napi::Object::New(env);
    auto sizes = Napi::Float64Array::New(env, count);
    auto ends = Napi::Uint32Array::New(env, count);
    auto fds = Napi::Int32Array::New(env, count);
    auto errors = Napi::Array::New(env);
    for (size_t i = 0; i < count; i++) {
      sizes[i] = static_cast<double>(files_[i].size);
      ends[i] = static_cast<uint32_t>(files_[i].end);
      if (files_[i].failure) errors.Set(static_cast<uint32_t>(i), errorOf(env, files_[i].failure).Value());
    }
    result.Set("bytes", Napi::Buffer<uint8_t>::Copy(env, bytes_.get(), count == 0 ? 0 : files_.back().end));
    result.Set("sizes", sizes);
    result.Set("ends", ends);
    result.Set("fds", fds);
    result.Set("errors", errors);
    // They are JavaScript's only when nothing can fail any more.
    for (size_t i = 0; i < count; i++) fds[i] = files_[i].fd.release();
    return result;
  }

  const OwnedFd folder_;
  const std::vector<std::string> names_;
  const int64_t most_;
  std::vector<Beginning> files_;
  std::unique_ptr<uint8_t[]> bytes_;
};

// (folder, names below it, how many bytes of each at most)
Napi::Value OpenBeginnings(const Napi::CallbackInfo& info) {
  OwnedFd folder = duplicatedFd(info, 0);
  const auto list = info[1].As<Napi::Array>();
  std::vector<std::string> names;
  names.reserve(list.Length());
  for (uint32_t i = 0; i < list.Length(); i++) names.push_back(byteString(list.Get(i)));
  const int64_t most = info[2].As<Napi::Number>().Uint32Value();
  return PromiseJob::start<BeginningsJob>(info.Env(), std::move(folder), std::move(names), most);
}

}  // namespace

void initBeginnings(Napi::Env, Napi::Object exports) { addFunction<OpenBeginnings>(exports, "openBeginnings"); }

}  // namespace cfsbridge
