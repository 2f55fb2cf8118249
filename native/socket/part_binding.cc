// JavaScript's view of writing parts.
#include "base/addon.h"
#include "socket/part_ops.h"
#include "socket/part_sender.h"

namespace cfsbridge {
namespace {

class SendJob : public PromiseJob {
 public:
  SendJob(Napi::Env env, OwnedFd out, int64_t position, uint64_t limit, std::vector<Part> parts, Napi::Uint8Array ops,
          const Napi::Value& cancelled)
      : PromiseJob(env),
        out_(std::move(out)),
        sender_(out_.get(), position, limit, std::move(parts), keptFlag(cancelled)) {
    kept(ops);
  }

 private:
  void work() override { sender_.run(); }
  Napi::Value result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(sender_.written())); }

  // With the index of the part.
  Napi::Error rejection(Napi::Env env, const std::exception_ptr& thrown) override {
    Napi::Error error = errorOf(env, thrown);
    error.Set("part", static_cast<double>(sender_.current()));
    error.Set("written", static_cast<double>(sender_.written()));
    return error;
  }

  const OwnedFd out_;
  PartSender sender_;
};

// (descriptor, position or -1, most bytes, operations, flag): the number of bytes that were written.
Napi::Value SendParts(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array ops = steadyBytes(info[3]);
  // First, for what is in them is closed whatever fails.
  std::vector<Part> parts = readParts(OpReader(ops.Data(), ops.ByteLength()), Ranges::Refused);
  return PromiseJob::start<SendJob>(info.Env(), duplicatedFd(info, 0), info[1].As<Napi::Number>().Int64Value(),
                                    static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value()), std::move(parts),
                                    ops, info[4]);
}

}  // namespace

void initParts(Napi::Env, Napi::Object exports) { addFunction<SendParts>(exports, "sendParts"); }

}  // namespace cfsbridge
