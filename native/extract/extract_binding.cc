// JavaScript's view of what unpacks layers; src/storage/extract/extraction.ts is its other end.
#include <iterator>
#include <memory>

#include "base/addon.h"
#include "extract/extraction.h"

namespace cfsbridge {
namespace {

// `flag` must stay as long as the threads that ask it.
struct Handle {
  Napi::ObjectReference flag;
  std::shared_ptr<Extraction> extraction;

  ~Handle() { close(); }
  void close() {
    if (extraction) extraction->stop();
    extraction.reset();
  }
};

// (folder, whether content must be cloned, whether in a user namespace, flag)
Napi::Value OpenExtraction(const Napi::CallbackInfo& info) {
  const ExtractSettings settings{info[1].ToBoolean().Value(), info[2].ToBoolean().Value()};
  const Napi::Uint8Array flag = steadyBytes(info[3]);
  if (flag.ByteLength() != 1) throw Napi::TypeError::New(info.Env(), "expected a flag of one byte");
  auto owned = std::make_unique<Handle>();
  owned->flag = Napi::Persistent(flag.As<Napi::Object>());
  owned->extraction = std::make_shared<Extraction>(duplicatedFd(info, 0), settings, CancelFlag(flag.Data()));
  owned->extraction->start();
  auto handle = Napi::External<Handle>::New(info.Env(), owned.get(), [](Napi::Env, Handle* gone) { delete gone; });
  owned.release();
  return handle;
}

Handle& handleArgument(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "expected what openExtraction returned");
  return *info[0].As<Napi::External<Handle>>().Data();
}

const std::shared_ptr<Extraction>& extractionArgument(const Napi::CallbackInfo& info) {
  const Handle& handle = handleArgument(info);
  if (!handle.extraction) throw Napi::TypeError::New(info.Env(), "the extraction was closed");
  return handle.extraction;
}

class ExtractJob : public PromiseJob {
 public:
  ExtractJob(Napi::Env env, std::shared_ptr<Extraction> extraction)
      : PromiseJob(env), extraction_(std::move(extraction)) {}

 protected:
  Extraction& extraction() { return *extraction_; }

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
  const std::shared_ptr<Extraction> extraction_;
};

class TakeJob : public ExtractJob {
 public:
  using ExtractJob::ExtractJob;

 private:
  void work() override { text_ = extraction().take(); }
  Napi::Value result(Napi::Env env) override { return Napi::Buffer<uint8_t>::Copy(env, text_.data(), text_.size()); }

  std::vector<uint8_t> text_;
};

class FinishJob : public ExtractJob {
 public:
  using ExtractJob::ExtractJob;

 private:
  void work() override {
    extraction().finish();
    extraction().digest(digest_);
  }
  Napi::Value result(Napi::Env env) override {
    const ContentCounts& counts = extraction().counts();
    auto ways = Napi::Array::New(env);
    for (uint32_t way = 0; way < std::size(counts.files); way++) {
      auto one = Napi::Array::New(env);
      one.Set(0u, static_cast<double>(counts.files[way]));
      one.Set(1u, static_cast<double>(counts.bytes[way]));
      ways.Set(way, one);
    }
    auto result = Napi::Object::New(env);
    result.Set("digest", Napi::Buffer<uint8_t>::Copy(env, digest_, sizeof digest_));
    result.Set("ways", ways);
    return result;
  }

  uint8_t digest_[32] = {};
};

class StopJob : public ExtractJob {
 public:
  using ExtractJob::ExtractJob;

 private:
  void work() override { extraction().stop(); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }
};

// (extraction, operations): takes the operations over, with the descriptors in them.
Napi::Value AddToExtraction(const Napi::CallbackInfo& info) {
  const auto operations = info[1].As<Napi::Uint8Array>();
  extractionArgument(info)->add(operations.Data(), operations.ByteLength());
  return info.Env().Undefined();
}

// (extraction): the text of the next batch, for each call of addToExtraction once, each after the one before.
Napi::Value TakeExtracted(const Napi::CallbackInfo& info) {
  return PromiseJob::start<TakeJob>(info.Env(), extractionArgument(info));
}

// (extraction): { digest: SHA-256 of the tar, ways: for each ContentWay but None [files, bytes] }.
Napi::Value FinishExtraction(const Napi::CallbackInfo& info) {
  return PromiseJob::start<FinishJob>(info.Env(), extractionArgument(info));
}

// (extraction): waits until nothing is under way; with the flag set before that is soon.
Napi::Value StopExtraction(const Napi::CallbackInfo& info) {
  return PromiseJob::start<StopJob>(info.Env(), extractionArgument(info));
}

// (extraction): closes what is open, once it was stopped.
Napi::Value CloseExtraction(const Napi::CallbackInfo& info) {
  handleArgument(info).close();
  return info.Env().Undefined();
}

}  // namespace

void initExtract(Napi::Env, Napi::Object exports) {
  addFunction<OpenExtraction>(exports, "openExtraction");
  addFunction<AddToExtraction>(exports, "addToExtraction");
  addFunction<TakeExtracted>(exports, "takeExtracted");
  addFunction<StopExtraction>(exports, "stopExtraction");
  addFunction<FinishExtraction>(exports, "finishExtraction");
  addFunction<CloseExtraction>(exports, "closeExtraction");
}

}  // namespace cfsbridge
