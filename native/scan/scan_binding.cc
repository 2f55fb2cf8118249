// scanFolder() for JavaScript, and the text of an errno as C programs print it.
#include <algorithm>
#include <cstring>

#include "base/addon.h"
#include "scan/scan.h"

namespace cfsbridge {
namespace {

class ScanJob : public PromiseJob {
 public:
  ScanJob(Napi::Env env, OwnedFd root, ScanOptions options, const Napi::Value& cancelled)
      : PromiseJob(env), root_(std::move(root)), scan_(root_.get(), std::move(options), keptFlag(cancelled)) {}

 private:
  void work() override { records_ = std::make_unique<std::string>(scan_.run()); }

  Napi::Value result(Napi::Env env) override {
    std::string* owned = records_.release();
    return Napi::Buffer<char>::NewOrCopy(
        env, owned->data(), owned->size(), [](Napi::Env, char*, std::string* text) { delete text; }, owned);
  }

  Napi::Error rejection(Napi::Env env, const std::exception_ptr& thrown) override {
    try {
      std::rethrow_exception(thrown);
    } catch (const ScanFailure& failure) {
      Napi::Error error = failure.error != 0 ? errnoError(env, failure.error, failure.message.c_str())
                                             : Napi::Error::New(env, failure.message.c_str());
      if (failure.error == 0) error.Set("code", failure.code);
      error.Set("below", fromByteString(env, failure.path));
      return error;
    } catch (...) {
      return errorOf(env, thrown);
    }
  }

  const OwnedFd root_;
  FolderScan scan_;
  std::unique_ptr<std::string> records_;
};

Napi::Value ScanFolder(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  OwnedFd root = duplicatedFd(info, 0);
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
  return PromiseJob::start<ScanJob>(env, std::move(root), std::move(options), info[3]);
}

Napi::Value ErrorText(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), strerror(info[0].As<Napi::Number>().Int32Value()));
}

}  // namespace

void initScan(Napi::Env, Napi::Object exports) {
  addFunction<ScanFolder>(exports, "scanFolder");
  addFunction<ErrorText>(exports, "errorText");
}

}  // namespace cfsbridge
