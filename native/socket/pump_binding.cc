// JavaScript's view of pumps.
#include <fcntl.h>

#include <cstring>

#include "base/addon.h"
#include "socket/part_ops.h"
#include "socket/pipe_pump.h"

namespace cfsbridge {
namespace {

using Shared = std::shared_ptr<PipePump>;

const Shared& pumpOf(const Napi::Value& value) {
  if (!value.IsExternal()) throw Napi::TypeError::New(value.Env(), "expected a pump");
  return *value.As<Napi::External<Shared>>().Data();
}

// The descriptors in the operations are owned from here on, also when this throws.
PumpBatch readBatch(const Napi::Uint8Array& ops) {
  PumpBatch batch;
  const size_t size = ops.ByteLength();
  try {
    batch.bytes.reset(new uint8_t[size + 1]);
  } catch (const std::bad_alloc&) {
    readParts(OpReader(ops.Data(), size), Ranges::Taken);
    throw;
  }
  memcpy(batch.bytes.get(), ops.Data(), size);
  batch.parts = readParts(OpReader(batch.bytes.get(), size), Ranges::Taken);
  return batch;
}

class PumpJob : public PromiseJob {
 public:
  PumpJob(Napi::Env env, Shared pump, const Napi::Value& cancelled)
      : PromiseJob(env), pump_(std::move(pump)), cancelled_(keptFlag(cancelled)) {}

 private:
  void work() override { state_ = pump_->run(cancelled_); }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(state_)); }

  // With the index of the part.
  Napi::Error rejection(Napi::Env env, const std::exception_ptr& thrown) override {
    Napi::Error error = errorOf(env, thrown);
    error.Set("part", static_cast<double>(pump_->current()));
    error.Set("ofOutput", pump_->ofOutput());
    return error;
  }

  const Shared pump_;
  const CancelFlag cancelled_;
  PumpState state_ = PumpState::Done;
};

// (write end of a pipe, which becomes non-blocking, whether to hash): a pump.
Napi::Value PumpOpen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  OwnedFd out = duplicatedFd(info, 0);
  const int flags = fcntl(out.get(), F_GETFL);
  if (flags < 0 || fcntl(out.get(), F_SETFL, flags | O_NONBLOCK) < 0) throwErrno(env, errno, "fcntl(F_SETFL)");
  // More room means fewer times that both ends wait for each other; where there may be no more, it works as well.
  fcntl(out.get(), F_SETPIPE_SZ, 1 << 20);
  auto pump = std::make_unique<Shared>(std::make_shared<PipePump>(std::move(out), info[1].ToBoolean().Value()));
  auto external = Napi::External<Shared>::New(env, pump.get(), [](Napi::Env, Shared* held) { delete held; });
  pump.release();
  return external;
}

// (pump, operations, flag): adds them, and goes on until all is written or somebody has to be waited for. Not before
// the previous call has ended.
Napi::Value PumpRun(const Napi::CallbackInfo& info) {
  PumpBatch batch = readBatch(steadyBytes(info[1]));
  const Shared& pump = pumpOf(info[0]);
  if (!batch.parts.empty()) pump->add(std::move(batch));
  return PromiseJob::start<PumpJob>(info.Env(), pump, info[2]);
}

// (pump): bytes that were written until now.
Napi::Value PumpWritten(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(pumpOf(info[0])->written()));
}

// (pump): hex of the SHA-256 of all that was written. Once, after the last call of pumpRun has ended.
Napi::Value PumpDigest(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), pumpOf(info[0])->digest());
}

// (pump): closes it and what it has open. Not while pumpRun is under way.
Napi::Value PumpClose(const Napi::CallbackInfo& info) {
  pumpOf(info[0])->close();
  return info.Env().Undefined();
}

}  // namespace

void initPump(Napi::Env, Napi::Object exports) {
  addFunction<PumpOpen>(exports, "pumpOpen");
  addFunction<PumpRun>(exports, "pumpRun");
  addFunction<PumpWritten>(exports, "pumpWritten");
  addFunction<PumpDigest>(exports, "pumpDigest");
  addFunction<PumpClose>(exports, "pumpClose");
}

}  // namespace cfsbridge
