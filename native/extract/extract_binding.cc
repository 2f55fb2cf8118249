// JavaScript's view of what unpacks layers; src/storage/extract/extraction.ts is its other end.
#include <memory>

#include "base/addon.h"
#include "extract/extraction.h"

namespace cfsbridge {
namespace {

using Handle = std::shared_ptr<Extraction>;

// (folder, whether content must be cloned, whether in a user namespace)
Napi::Value OpenExtraction(const Napi::CallbackInfo& info) {
  const ExtractSettings settings{info[1].ToBoolean().Value(), info[2].ToBoolean().Value()};
  auto owned = std::make_unique<Handle>(std::make_shared<Extraction>(duplicatedFd(info, 0), settings));
  auto handle = Napi::External<Handle>::New(info.Env(), owned.get(), [](Napi::Env, Handle* gone) { delete gone; });
  owned.release();
  return handle;
}

Handle& extractionArgument(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "expected what openExtraction returned");
  Handle& extraction = *info[0].As<Napi::External<Handle>>().Data();
  if (!extraction) throw Napi::TypeError::New(info.Env(), "the extraction was closed");
  return extraction;
}

class ExtractJob : public PromiseJob {
 public:
  ExtractJob(Napi::Env env, Handle extraction, const Napi::Value& flag)
      : PromiseJob(env), extraction_(std::move(extraction)), cancelled_(keptFlag(flag)) {}

 protected:
  Extraction& extraction() { return *extraction_; }
  const CancelFlag& cancelled() const { return cancelled_; }

  // The error has the entry's path and place.
  Napi::Error rejection(Napi::Env env, const std::exception_ptr& thrown) override {
    try {
      std::rethrow_exception(thrown);
    } catch (const EntryFailure& failure) {
      Napi::Error error = errorOf(env, failure.cause);
      error.Set("entry", fromByteString(env, failure.path));
      error.Set("offset", Napi::Number::New(env, static_cast<double>(failure.offset)));
      return error;
    } catch (...) {
      return errorOf(env, thrown);
    }
  }

 private:
  const Handle extraction_;
  const CancelFlag cancelled_;
};

class PlaceJob : public ExtractJob {
 public:
  using ExtractJob::ExtractJob;

 private:
  void work() override { extraction().place(cancelled()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }
};

class HashJob : public ExtractJob {
 public:
  using ExtractJob::ExtractJob;

 private:
  void work() override { results_ = extraction().hash(cancelled()); }
  Napi::Value result(Napi::Env env) override {
    return Napi::Buffer<uint8_t>::Copy(env, results_.data(), results_.size());
  }

  std::vector<uint8_t> results_;
};

class FinishJob : public ExtractJob {
 public:
  using ExtractJob::ExtractJob;

 private:
  void work() override {
    extraction().finish(cancelled());
    extraction().digest(digest_);
  }
  Napi::Value result(Napi::Env env) override { return Napi::Buffer<uint8_t>::Copy(env, digest_, sizeof digest_); }

  uint8_t digest_[32] = {};
};

// (extraction, operations): takes the operations over, with the descriptors in them.
Napi::Value AddToExtraction(const Napi::CallbackInfo& info) {
  const auto operations = info[1].As<Napi::Uint8Array>();
  extractionArgument(info)->add(operations.Data(), operations.ByteLength());
  return info.Env().Undefined();
}

// (extraction, flag): for each call of addToExtraction one, each after the one before.
Napi::Value PlaceExtraction(const Napi::CallbackInfo& info) {
  return PromiseJob::start<PlaceJob>(info.Env(), extractionArgument(info), info[1]);
}

// (extraction, flag): the results of what was put in place; the same.
Napi::Value HashExtraction(const Napi::CallbackInfo& info) {
  return PromiseJob::start<HashJob>(info.Env(), extractionArgument(info), info[1]);
}

// (extraction, flag): SHA-256 of the tar.
Napi::Value FinishExtraction(const Napi::CallbackInfo& info) {
  return PromiseJob::start<FinishJob>(info.Env(), extractionArgument(info), info[1]);
}

// (extraction): closes what is open, once nothing is under way.
Napi::Value CloseExtraction(const Napi::CallbackInfo& info) {
  extractionArgument(info).reset();
  return info.Env().Undefined();
}

}  // namespace

void initExtract(Napi::Env, Napi::Object exports) {
  addFunction<OpenExtraction>(exports, "openExtraction");
  addFunction<AddToExtraction>(exports, "addToExtraction");
  addFunction<PlaceExtraction>(exports, "placeExtraction");
  addFunction<HashExtraction>(exports, "hashExtraction");
  addFunction<FinishExtraction>(exports, "finishExtraction");
  addFunction<CloseExtraction>(exports, "closeExtraction");
}

}  // namespace cfsbridge
