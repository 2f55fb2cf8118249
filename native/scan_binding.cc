// scanFolder() for JavaScript, and the text of an errno as C programs print it.
#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "addon.h"
#include "scan.h"

namespace cfsbridge {
namespace {

struct ScanWorker : Napi::AsyncWorker {
  ScanWorker(Napi::Env env, OwnedFd root, ScanOptions options, Napi::Uint8Array cancelled)
      : AsyncWorker(env), deferred(env), root(std::move(root)), options(std::move(options)),
        keep(Napi::Persistent(cancelled.As<Napi::Object>())), cancel(cancelled.Data()) {}

  void Execute() override {
    try {
      FolderScan scan(root.get(), std::move(options), [this] { return __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0; });
      result = std::make_unique<std::string>(scan.run());
    } catch (ScanFailure& caught) {
      failure = std::move(caught);
    }
  }

  void OnOK() override {
    Napi::Env env = Env();
    if (failure) {
      Napi::Error error = failure->error != 0 ? errnoError(env, failure->error, failure->message.c_str())
                                              : Napi::Error::New(env, failure->message);
      if (failure->error == 0) error.Set("code", failure->code);
      error.Set("below", Napi::String(env, [&] {
        napi_value text;
        napi_create_string_latin1(env, failure->path.data(), failure->path.size(), &text);
        return text;
      }()));
      deferred.Reject(error.Value());
      return;
    }
    std::string* owned = result.release();
    deferred.Resolve(Napi::Buffer<char>::NewOrCopy(env, owned->data(), owned->size(), [](Napi::Env, char*, std::string* text) { delete text; }, owned));
  }

  Napi::Promise::Deferred deferred;
  OwnedFd root;
  ScanOptions options;
  Napi::ObjectReference keep;
  const uint8_t* cancel;
  std::unique_ptr<std::string> result;
  std::optional<ScanFailure> failure;
};

Napi::Value scanFolder(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OwnedFd root(fcntl(fdArgument(info, 0), F_DUPFD_CLOEXEC, 3));
  if (!root) throwErrno(env, errno, "fcntl(F_DUPFD_CLOEXEC)");
  Napi::Object given = info[1].As<Napi::Object>();
  ScanOptions options;
  options.xattrs = static_cast<XattrChoice>(std::clamp(given.Get("xattrs").ToNumber().Int32Value(), 0, 2));
  options.devices = given.Get("devices").ToBoolean();
  options.hardlinks = given.Get("hardlinks").ToBoolean();
  options.algorithm = given.Get("algorithm").ToNumber().Int32Value() == 2 ? Algorithm::Sha512 : Algorithm::Sha256;
  options.threads = static_cast<unsigned>(std::clamp(given.Get("threads").ToNumber().Int32Value(), 1, 64));
  if (info[2].IsExternal()) {
    options.store = *info[2].As<Napi::External<std::shared_ptr<ObjectStore>>>().Data();
    options.algorithm = options.store->algorithm();
  }
  auto* worker = new ScanWorker(env, std::move(root), std::move(options), info[3].As<Napi::Uint8Array>());
  Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

Napi::Value errorText(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), strerror(info[0].As<Napi::Number>().Int32Value()));
}

}  // namespace

void initScan(Napi::Env env, Napi::Object exports) {
  exports.Set("scanFolder", Napi::Function::New(env, scanFolder));
  exports.Set("errorText", Napi::Function::New(env, errorText));
}

}  // namespace cfsbridge
