// fs-verity for a file that is there already: the kernel reads all of it, so this is done by a worker thread.
#include "base/addon.h"
#include "hash/kernel_verity.h"

namespace cfsbridge {
namespace {

class SealJob : public PromiseJob {
 public:
  SealJob(Napi::Env env, OwnedFd fd, uint32_t algorithm) : PromiseJob(env), fd_(std::move(fd)), algorithm_(algorithm) {}

 private:
  void work() override {
    if (const int error = enableVerity(fd_.get(), algorithm_)) throw SystemError{error, "FS_IOC_ENABLE_VERITY", ""};
    size_ = measureVerity(fd_.get(), digest_);
    fd_.reset();
  }
  Napi::Value result(Napi::Env env) override { return Napi::Buffer<uint8_t>::Copy(env, digest_.data(), size_); }

  OwnedFd fd_;
  const uint32_t algorithm_;
  Digest digest_{};
  size_t size_ = 0;
};

// (descriptor open for reading only, kernel's number of the algorithm): the digest the file then has.
Napi::Value SealFile(const Napi::CallbackInfo& info) {
  return PromiseJob::start<SealJob>(info.Env(), duplicatedFd(info, 0), info[1].As<Napi::Number>().Uint32Value());
}

}  // namespace

void initSeal(Napi::Env, Napi::Object exports) { addFunction<SealFile>(exports, "sealFile"); }

}  // namespace cfsbridge
