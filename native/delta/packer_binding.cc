// JavaScript's view of what packs patches.
#include <algorithm>
#include <memory>
#include <thread>

#include "base/addon.h"
#include "delta/packer.h"

namespace cfsbridge {
namespace {

constexpr unsigned kUsualThreads = 4;

using Packer = std::shared_ptr<PatchPacker>;

// (folder of the objects, file to write, algorithm of the objects, level, whether in frames, threads or 0)
Napi::Value OpenPatch(const Napi::CallbackInfo& info) {
  const auto number = [&](size_t index) { return info[index].As<Napi::Number>().Int32Value(); };
  const unsigned asked = static_cast<unsigned>(number(5));
  const unsigned threads = asked > 0 ? asked : std::clamp(std::thread::hardware_concurrency(), 1u, kUsualThreads);
  const PackSettings settings{static_cast<Algorithm>(number(2)), number(3), info[4].ToBoolean().Value(), threads};
  OwnedFd objects = duplicatedFd(info, 0), out = duplicatedFd(info, 1);
  auto owned = std::make_unique<Packer>(std::make_shared<PatchPacker>(std::move(objects), std::move(out), settings));
  auto handle = Napi::External<Packer>::New(info.Env(), owned.get(), [](Napi::Env, Packer* gone) { delete gone; });
  owned.release();
  return handle;
}

Packer& packerArgument(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "expected a patch");
  Packer& packer = *info[0].As<Napi::External<Packer>>().Data();
  if (!packer) throw Napi::TypeError::New(info.Env(), "the patch was closed");
  return packer;
}

class PackJob : public PromiseJob {
 public:
  PackJob(Napi::Env env, Packer packer, const Napi::Value& operations, const Napi::Value& flag)
      : PromiseJob(env), packer_(std::move(packer)), cancelled_(keptFlag(flag)) {
    const Napi::Uint8Array bytes = kept(steadyBytes(operations));
    data_ = bytes.Data();
    size_ = bytes.ByteLength();
  }

 private:
  void work() override { packer_->pack(data_, size_, cancelled_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  const Packer packer_;
  const CancelFlag cancelled_;
  const uint8_t* data_;
  size_t size_;
};

class FinishJob : public PromiseJob {
 public:
  FinishJob(Napi::Env env, Packer packer, const Napi::Value& flag)
      : PromiseJob(env), packer_(std::move(packer)), cancelled_(keptFlag(flag)) {}

 private:
  void work() override { packer_->finish(cancelled_); }
  Napi::Value result(Napi::Env env) override {
    Napi::Array result = Napi::Array::New(env, 2);
    result.Set(0u, Napi::Number::New(env, static_cast<double>(packer_->size())));
    result.Set(1u, Napi::Buffer<uint8_t>::Copy(env, packer_->digest(), 32));
    return result;
  }

  const Packer packer_;
  const CancelFlag cancelled_;
};

// (patch, operations, flag)
Napi::Value PackPatch(const Napi::CallbackInfo& info) {
  return PromiseJob::start<PackJob>(info.Env(), packerArgument(info), info[1], info[2]);
}

// (patch, flag): [length of the file, SHA-256 of it]
Napi::Value FinishPatch(const Napi::CallbackInfo& info) {
  return PromiseJob::start<FinishJob>(info.Env(), packerArgument(info), info[1]);
}

// (patch): gives its memory back, once nothing is under way.
Napi::Value ClosePatch(const Napi::CallbackInfo& info) {
  packerArgument(info).reset();
  return info.Env().Undefined();
}

}  // namespace

void initDelta(Napi::Env, Napi::Object exports) {
  addFunction<OpenPatch>(exports, "openPatch");
  addFunction<PackPatch>(exports, "packPatch");
  addFunction<FinishPatch>(exports, "finishPatch");
  addFunction<ClosePatch>(exports, "closePatch");
}

}  // namespace cfsbridge
