// fs-verity for a file that is there already: the kernel reads all of it, so this is done by a worker thread.
#include <fcntl.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "addon.h"
#include "object_store.h"

namespace cfsbridge {
namespace {

class SealWorker : public Napi::AsyncWorker {
 public:
  // Works on a descriptor of its own: the caller may close theirs at once.
  SealWorker(Napi::Env env, OwnedFd fd, uint32_t algorithm)
      : AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), fd_(std::move(fd)), algorithm_(algorithm) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override {
    fsverity_enable_arg arg = {};
    arg.version = 1;
    arg.hash_algorithm = algorithm_;
    arg.block_size = 4096;
    if (ioctl(fd_.get(), FS_IOC_ENABLE_VERITY, &arg) == 0 || errno == EEXIST) size_ = measureVerity(fd_.get(), digest_);
    else error_ = errno;
    fd_.reset();
  }

  void OnOK() override {
    if (error_) deferred_.Reject(errnoError(Env(), error_, "FS_IOC_ENABLE_VERITY").Value());
    else deferred_.Resolve(Napi::Buffer<uint8_t>::Copy(Env(), digest_.data(), size_));
  }

  Napi::Promise::Deferred deferred_;
  OwnedFd fd_;
  uint32_t algorithm_;
  Digest digest_{};
  size_t size_ = 0;
  int error_ = 0;
};

// (descriptor open for reading only, kernel's number of the algorithm): the digest the file then has.
Napi::Value SealFile(const Napi::CallbackInfo& info) {
  OwnedFd fd(fcntl(fdArgument(info, 0), F_DUPFD_CLOEXEC, 3));
  if (!fd) throwErrno(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)");
  auto* worker = new SealWorker(info.Env(), std::move(fd), info[1].As<Napi::Number>().Uint32Value());
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace

void initSeal(Napi::Env env, Napi::Object exports) { exports.Set("sealFile", Napi::Function::New(env, SealFile, "sealFile")); }

}  // namespace cfsbridge
