// zstd frames whose dictionary is the raw content of a file, which neither zstd-napi nor Node can read. One call takes
// one piece, away from JavaScript's thread.
//
// The content is read and not mapped: a file that is cut or whose disk fails meanwhile would end the process.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#include "base/addon.h"
#include "base/file_io.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

namespace cfsbridge {
namespace {

// Pages that are given back at once, whatever the collector thinks of the object that stands for them.
class Pages {
 public:
  explicit Pages(size_t size) : size_(size) {
    if (size == 0) return;
    void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    bytes_ = static_cast<uint8_t*>(pages);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() {
    if (bytes_) munmap(bytes_, size_);
  }
  uint8_t* bytes() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  uint8_t* bytes_ = nullptr;
  const size_t size_;
};

using Dictionary = std::shared_ptr<const Pages>;

// src/compress/zstd-dictionary.ts makes a FormatError of it.
constexpr const char* kDamaged = "COMPRESSION";

size_t checked(size_t result) {
  if (!ZSTD_isError(result)) return result;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  fail(kDamaged, ZSTD_getErrorName(result));
}

// One frame that is read. Only one call at a time.
class Frame {
 public:
  Frame(Dictionary dictionary, int windowLog) : dictionary_(std::move(dictionary)), context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
    checked(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, windowLog));
    if (dictionary_->size() > 0)
      checked(ZSTD_DCtx_refPrefix(context_.get(), dictionary_->bytes(), dictionary_->size()));
  }
  // Returns what libzstd wants: 0 when the frame is over.
  size_t step(ZSTD_outBuffer& output, ZSTD_inBuffer& input) {
    return checked(ZSTD_decompressStream(context_.get(), &output, &input));
  }

  std::atomic<bool> busy{false};

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  const Dictionary dictionary_;
  const std::unique_ptr<ZSTD_DCtx, Free> context_;
};

template <typename T>
Napi::Value handle(Napi::Env env, std::shared_ptr<T> held) {
  auto* owned = new std::shared_ptr<T>(std::move(held));
  return Napi::External<std::shared_ptr<T>>::New(env, owned, [](Napi::Env, std::shared_ptr<T>* gone) { delete gone; });
}

template <typename T>
std::shared_ptr<T>& held(const Napi::Value& value) {
  auto& held = *value.As<Napi::External<std::shared_ptr<T>>>().Data();
  if (!held) throw Napi::TypeError::New(value.Env(), "it was released");
  return held;
}

class ReadPages : public PromiseJob {
 public:
  ReadPages(Napi::Env env, std::shared_ptr<Pages> pages, OwnedFd fd)
      : PromiseJob(env), pages_(std::move(pages)), fd_(std::move(fd)) {}

 private:
  void work() override { readExactly(fd_.get(), pages_->bytes(), pages_->size(), 0); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  const std::shared_ptr<Pages> pages_;
  const OwnedFd fd_;
};

class Step : public PromiseJob {
 public:
  Step(Napi::Env env, std::shared_ptr<Frame> frame, Napi::Uint8Array input, Napi::Uint8Array output)
      : PromiseJob(env), frame_(std::move(frame)) {
    input_ = {kept(input).Data(), input.ByteLength(), 0};
    output_ = {kept(output).Data(), output.ByteLength(), 0};
  }
  ~Step() override { frame_->busy = false; }

 private:
  void work() override { wanted_ = frame_->step(output_, input_); }
  Napi::Value result(Napi::Env env) override {
    // Whoever gets the result may go on at once.
    frame_->busy = false;
    Napi::Array result = Napi::Array::New(env, 3);
    result.Set(0u, Napi::Number::New(env, static_cast<double>(wanted_)));
    result.Set(1u, Napi::Number::New(env, static_cast<double>(output_.pos)));
    result.Set(2u, Napi::Number::New(env, static_cast<double>(input_.pos)));
    return result;
  }

  const std::shared_ptr<Frame> frame_;
  ZSTD_inBuffer input_{};
  ZSTD_outBuffer output_{};
  size_t wanted_ = 0;
};

// (size in bytes): room for a dictionary.
Napi::Value ZstdPages(const Napi::CallbackInfo& info) {
  const auto size = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
  return handle(info.Env(), std::make_shared<Pages>(size));
}

// (room, descriptor): fills all of it from the start of a file.
Napi::Value ZstdReadPages(const Napi::CallbackInfo& info) {
  return PromiseJob::start<ReadPages>(info.Env(), held<Pages>(info[0]), duplicatedFd(info, 1));
}

// (room, bytes): the same from memory.
Napi::Value ZstdCopyPages(const Napi::CallbackInfo& info) {
  const auto& pages = held<Pages>(info[0]);
  const Napi::Uint8Array bytes = steadyBytes(info[1]);
  if (bytes.ByteLength() != pages->size()) throw Napi::RangeError::New(info.Env(), "it has another size");
  if (pages->size() > 0) memcpy(pages->bytes(), bytes.Data(), pages->size());
  return info.Env().Undefined();
}

Napi::Value ZstdReleasePages(const Napi::CallbackInfo& info) {
  held<Pages>(info[0]).reset();
  return info.Env().Undefined();
}

// (dictionary, binary logarithm of the largest window)
Napi::Value ZstdReadFrame(const Napi::CallbackInfo& info) {
  return handle<Frame>(info.Env(),
                       std::make_shared<Frame>(held<Pages>(info[0]), info[1].As<Napi::Number>().Int32Value()));
}

// (frame, input, output): [what libzstd wants, bytes written, bytes read].
Napi::Value ZstdStep(const Napi::CallbackInfo& info) {
  const auto& frame = held<Frame>(info[0]);
  const Napi::Uint8Array input = steadyBytes(info[1]), output = steadyBytes(info[2]);
  if (frame->busy.exchange(true)) throw Napi::Error::New(info.Env(), "the frame is at work");
  try {
    return PromiseJob::start<Step>(info.Env(), frame, input, output);
  } catch (...) {
    frame->busy = false;
    throw;
  }
}

Napi::Value ZstdReleaseFrame(const Napi::CallbackInfo& info) {
  held<Frame>(info[0]).reset();
  return info.Env().Undefined();
}

// (first bytes of a frame): the window it takes in bytes; undefined while more bytes are needed.
Napi::Value ZstdWindow(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = steadyBytes(info[0]);
  ZSTD_FrameHeader header;
  if (checked(ZSTD_getFrameHeader(&header, bytes.Data(), bytes.ByteLength())) > 0) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(header.windowSize));
}

}  // namespace

void initZstd(Napi::Env, Napi::Object exports) {
  addFunction<ZstdPages>(exports, "zstdPages");
  addFunction<ZstdReadPages>(exports, "zstdReadPages");
  addFunction<ZstdCopyPages>(exports, "zstdCopyPages");
  addFunction<ZstdReleasePages>(exports, "zstdReleasePages");
  addFunction<ZstdReadFrame>(exports, "zstdReadFrame");
  addFunction<ZstdStep>(exports, "zstdStep");
  addFunction<ZstdReleaseFrame>(exports, "zstdReleaseFrame");
  addFunction<ZstdWindow>(exports, "zstdWindow");
}

}  // namespace cfsbridge
