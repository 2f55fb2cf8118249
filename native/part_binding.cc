// JavaScript's view of writing parts.
#include <fcntl.h>

#include "addon.h"
#include "op_reader.h"
#include "part_sender.h"

namespace cfsbridge {
namespace {

// As `src/fd/part-writer.ts` writes them. Descriptors in them are owned from here on, also when this throws.
std::vector<Part> parseParts(const uint8_t* data, size_t size) {
  enum Kind : uint8_t { Bytes, Named, Open };
  OpReader ops(data, size);
  std::vector<Part> parts;
  while (!ops.done()) {
    Part part;
    switch (ops.number<uint8_t>()) {
      case Bytes:
        part.size = ops.number<uint32_t>();
        part.bytes = ops.bytes(part.size);
        break;
      case Named: {
        part.dir = ops.number<int32_t>();
        part.size = ops.number<uint64_t>();
        const size_t length = ops.number<uint16_t>();
        part.name = std::string_view(reinterpret_cast<const char*>(ops.bytes(length)), length);
        break;
      }
      case Open:
        part.fd.reset(ops.number<int32_t>());
        part.size = ops.number<uint64_t>();
        break;
      default:
        fail("INVALID_BATCH", "unknown operation");
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

class SendWorker : public Napi::AsyncWorker {
 public:
  SendWorker(Napi::Env env, OwnedFd out, int64_t position, Napi::Uint8Array ops, Napi::Uint8Array cancelled)
      : AsyncWorker(env), deferred_(env), out_(std::move(out)), sender_(out_.get(), position, parseParts(ops.Data(), ops.ByteLength()), cancelled.Data()) {
    ops_ = Napi::Persistent(ops.As<Napi::Object>());
    cancelled_ = Napi::Persistent(cancelled.As<Napi::Object>());
  }
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      sender_.run();
    } catch (StoreError& error) {
      code_ = error.code;
      SetError(error.message);
    }
  }

  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), static_cast<double>(sender_.written()))); }

  void OnError(const Napi::Error& error) override {
    Napi::Object value = error.Value().As<Napi::Object>();
    value.Set("code", code_);
    value.Set("part", static_cast<double>(sender_.current()));
    deferred_.Reject(value);
  }

 private:
  Napi::Promise::Deferred deferred_;
  OwnedFd out_;
  PartSender sender_;
  Napi::ObjectReference ops_, cancelled_;  // keep their memory
  std::string code_;
};

// (descriptor, position or -1, operations, flag): the number of bytes that were written. An error has the index of the part.
Napi::Value SendParts(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto ops = info[2].As<Napi::Uint8Array>();
  try {
    OwnedFd out(fcntl(fdArgument(info, 0), F_DUPFD_CLOEXEC, 3));
    if (!out) failErrno(errno, "fcntl(F_DUPFD_CLOEXEC)");
    auto* worker = new SendWorker(env, std::move(out), info[1].As<Napi::Number>().Int64Value(), ops, info[3].As<Napi::Uint8Array>());
    Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
  } catch (StoreError& error) {
    Napi::Error failure = Napi::Error::New(env, error.message);
    failure.Set("code", error.code);
    throw failure;
  }
}

}  // namespace

void initParts(Napi::Env env, Napi::Object exports) { exports.Set("sendParts", Napi::Function::New(env, SendParts, "sendParts")); }

}  // namespace cfsbridge
