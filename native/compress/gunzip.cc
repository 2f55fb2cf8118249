// gzip for JavaScript, into memory that is used again: node:zlib makes a new buffer for each quarter of a megabyte, and
// V8 collects garbage all the time to get rid of them.
#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>

#include "base/addon.h"
#include "compress/raw_inflate.h"
#include "compress/zlib.h"

namespace cfsbridge {
namespace {

constexpr int kGzip = 15 + 16;  // the largest window, and gzip's header and check

struct Progress {
  size_t consumed, produced;
};

// All members of a gzip file. Zeros after one end it, with all that follows: tapes are padded so.
class Gunzip {
 public:
  Gunzip() {
    if (Zlib::get().init(&stream_, kGzip, kZlibVersion, sizeof stream_) != kOk) throw std::bad_alloc();
  }
  ~Gunzip() { Zlib::get().end(&stream_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  // Until the input is used up or the output is full.
  Progress run(const uint8_t* input, size_t inputSize, uint8_t* output, size_t outputSize) {
    const std::unique_lock alone(mutex_, std::try_to_lock);
    if (!alone) throw std::logic_error("two threads decompress one file");
    if (failed_) throw std::logic_error("the file was found damaged before");
    constexpr size_t most = std::numeric_limits<unsigned>::max();
    stream_.nextIn = input;
    stream_.availIn = static_cast<unsigned>(std::min(inputSize, most));
    stream_.nextOut = output;
    stream_.availOut = static_cast<unsigned>(std::min(outputSize, most));
    while (place_ != Place::After) {
      if (place_ == Place::Between) {
        if (stream_.availIn == 0) break;
        if (*stream_.nextIn == 0) {
          place_ = Place::After;
          break;
        }
        Zlib::get().reset(&stream_);
      }
      if (stream_.availIn > 0 && place_ != Place::Member) place_ = Place::Member;
      const int result = Zlib::get().inflate(&stream_, kNoFlush);
      if (result == kStreamEnd) {
        place_ = Place::Between;
      } else if (result == kBufferError || (result == kOk && (stream_.availIn == 0 || stream_.availOut == 0))) {
        break;
      } else if (result != kOk) {
        failed_ = true;
        if (result == kMemoryError) throw std::bad_alloc();
        damage_ = stream_.message ? stream_.message : "no gzip data";
        break;
      }
    }
    const size_t left = place_ == Place::After ? 0 : stream_.availIn;
    return {inputSize - left, outputSize - stream_.availOut};
  }

  // What is wrong with the file; after run().
  const char* damage() const { return damage_; }
  // Whether the input may end here.
  bool complete() {
    const std::lock_guard alone(mutex_);
    return place_ == Place::Between || place_ == Place::After;
  }

 private:
  enum class Place { Start, Member, Between, After };

  std::mutex mutex_;
  ZlibStream stream_{};
  Place place_ = Place::Start;
  bool failed_ = false;
  const char* damage_ = nullptr;  // zlib's own text, which stays
};

class GunzipJob : public PromiseJob {
 public:
  GunzipJob(Napi::Env env, std::shared_ptr<Gunzip> gunzip, const Napi::Value& input, const Napi::Value& output)
      : PromiseJob(env), gunzip_(std::move(gunzip)) {
    Napi::Uint8Array from = kept(steadyBytes(input)), to = kept(steadyBytes(output));
    input_ = from.Data();
    inputSize_ = from.ByteLength();
    output_ = to.Data();
    outputSize_ = to.ByteLength();
  }

 private:
  void work() override { progress_ = gunzip_->run(input_, inputSize_, output_, outputSize_); }
  Napi::Value result(Napi::Env env) override {
    Napi::Array result = Napi::Array::New(env, 2);
    if (gunzip_->damage()) result.Set(2u, gunzip_->damage());
    result.Set(0u, static_cast<double>(progress_.consumed));
    result.Set(1u, static_cast<double>(progress_.produced));
    return result;
  }

  const std::shared_ptr<Gunzip> gunzip_;
  const uint8_t* input_;
  uint8_t* output_;
  size_t inputSize_, outputSize_;
  Progress progress_{};
};

using Handle = std::shared_ptr<Gunzip>;

// undefined where Node does not let its zlib be used.
Napi::Value OpenGunzip(const Napi::CallbackInfo& info) {
  if (!Zlib::get().found()) return info.Env().Undefined();
  auto handle = std::make_unique<Handle>(std::make_shared<Gunzip>());
  auto external = Napi::External<Handle>::New(info.Env(), handle.get(), [](Napi::Env, Handle* owned) { delete owned; });
  handle.release();
  return external;
}

const Handle& handleOf(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "expected what openGunzip returned");
  return *info[0].As<Napi::External<Handle>>().Data();
}

// (handle, input, output): a promise of how many bytes were read and written, and what is wrong with the file. The next
// call has to wait for it.
Napi::Value RunGunzip(const Napi::CallbackInfo& info) {
  return PromiseJob::start<GunzipJob>(info.Env(), handleOf(info), info[1], info[2]);
}

Napi::Value IsGunzipComplete(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), handleOf(info)->complete());
}

// Whether ingests can inflate.
Napi::Value CanInflate(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), RawInflate::available());
}

}  // namespace

void initGunzip(Napi::Env, Napi::Object exports) {
  addFunction<OpenGunzip>(exports, "openGunzip");
  addFunction<RunGunzip>(exports, "runGunzip");
  addFunction<IsGunzipComplete>(exports, "isGunzipComplete");
  addFunction<CanInflate>(exports, "canInflate");
}

}  // namespace cfsbridge
