// Hashing for JavaScript: fs-verity of bytes and of open files, SHA-256, and each kernel by name for tests and
// benchmarks.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/addon.h"
#include "base/file_io.h"
#include "hash/sha_kernels.h"

namespace cfsbridge {
namespace {

constexpr size_t kFileStep = 1 << 20;

struct ByteView {
  const uint8_t* data;
  size_t length;
};

ByteView byteView(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(value.Env(), "expected a Uint8Array");
  auto bytes = value.As<Napi::Uint8Array>();
  return {bytes.Data(), bytes.ByteLength()};
}

Algorithm algorithmArgument(const Napi::CallbackInfo& info, size_t index) {
  const std::string name = byteString(info[index]);
  if (name == "sha256") return Algorithm::Sha256;
  if (name == "sha512") return Algorithm::Sha512;
  throw Napi::TypeError::New(info.Env(), "unknown digest algorithm '" + name + "', expected sha256 or sha512");
}

Napi::Value VerityDigest(const Napi::CallbackInfo& info) {
  const ByteView bytes = byteView(info[0]);
  const Algorithm algorithm = algorithmArgument(info, 1);
  VerityJob job = {bytes.data, bytes.length, {}};
  verityBatch(algorithm, &job, 1);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), job.digest, digestSize(algorithm));
}

// Reads and hashes a whole file, through a descriptor of its own: the caller may close theirs meanwhile without another
// file taking the number.
class FileDigest : public PromiseJob {
 public:
  FileDigest(Napi::Env env, OwnedFd fd, Algorithm algorithm, const Napi::Value& cancelled)
      : PromiseJob(env), fd_(std::move(fd)), algorithm_(algorithm), cancelled_(keptFlag(cancelled)) {}

 private:
  void work() override {
    VerityHasher hasher(algorithm_);
    std::unique_ptr<uint8_t[]> buffer(new uint8_t[kFileStep]);
    uint64_t offset = 0, got = kFileStep;
    for (; got == kFileStep; offset += got) {
      if (cancelled_.isSet()) throw SystemError{ECANCELED, "pread", ""};
      const int64_t read = readFully(fd_.get(), buffer.get(), kFileStep, offset);
      if (read < 0) throw SystemError{errno, "pread", ""};
      got = static_cast<uint64_t>(read);
      hasher.update(buffer.get(), got);
    }
    hasher.finish(digest_);
  }
  Napi::Value result(Napi::Env env) override {
    return Napi::Buffer<uint8_t>::Copy(env, digest_, digestSize(algorithm_));
  }

  const OwnedFd fd_;
  const Algorithm algorithm_;
  const CancelFlag cancelled_;
  uint8_t digest_[64];
};

// (fd, algorithm, flag): the promise rejects with ECANCELED soon after the byte in `flag` becomes other than 0.
Napi::Value VerityDigestOfFd(const Napi::CallbackInfo& info) {
  const Algorithm algorithm = algorithmArgument(info, 1);
  return PromiseJob::start<FileDigest>(info.Env(), duplicatedFd(info, 0), algorithm, info[2]);
}

// Lengths of the pieces a test feeds to a streaming hash; whatever is left is the last piece.
template <class Hash>
void updateInPieces(Hash& hash, ByteView bytes, const Napi::Value& pieces) {
  auto lengths = pieces.As<Napi::Uint32Array>();
  for (size_t i = 0; i < lengths.ElementLength(); i++) {
    const size_t length = std::min<size_t>(lengths[i], bytes.length);
    hash.update(bytes.data, length);
    bytes = {bytes.data + length, bytes.length - length};
  }
  hash.update(bytes.data, bytes.length);
}

HashPlan planOf(const Napi::CallbackInfo& info, size_t index) {
  const std::string name = byteString(info[index]);
  for (const LaneKernel* kernel : laneKernels()) {
    if (name == kernel->name) return {kernel->algorithm, {{kernel, 1}}};
  }
  throw Napi::TypeError::New(info.Env(), "this CPU has no hash kernel '" + name + "'");
}

Napi::Value HashKernels(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const LaneKernel* kernel : laneKernels()) names.Set(names.Length(), kernel->name);
  return names;
}

Napi::Value StreamKernels(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const StreamKernel& kernel : streamKernels()) names.Set(names.Length(), kernel.name);
  return names;
}

// (kernel, bytes, pieces): streaming digest with one kernel.
Napi::Value KernelDigest(const Napi::CallbackInfo& info) {
  const HashPlan plan = planOf(info, 0);
  uint8_t digest[64];
  VerityHasher hasher(plan);
  updateInPieces(hasher, byteView(info[1]), info[2]);
  hasher.finish(digest);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), digest, digestSize(plan.algorithm));
}

Napi::Value batchDigests(const Napi::CallbackInfo& info, const HashPlan& plan) {
  auto files = info[1].As<Napi::Array>();
  std::vector<VerityJob> jobs(files.Length());
  for (uint32_t i = 0; i < jobs.size(); i++) {
    const ByteView bytes = byteView(files[i]);
    jobs[i] = {bytes.data, bytes.length, {}};
  }
  verityBatch(plan, jobs.data(), jobs.size());
  Napi::Array digests = Napi::Array::New(info.Env(), jobs.size());
  for (uint32_t i = 0; i < jobs.size(); i++)
    digests.Set(i, Napi::Buffer<uint8_t>::Copy(info.Env(), jobs[i].digest, digestSize(plan.algorithm)));
  return digests;
}

// (kernel, array of bytes): digests of many files at once with one kernel.
Napi::Value KernelBatch(const Napi::CallbackInfo& info) { return batchDigests(info, planOf(info, 0)); }

// (algorithm, array of bytes): digests of many files at once with the kernels this CPU does best with.
Napi::Value VerityBatch(const Napi::CallbackInfo& info) {
  return batchDigests(info, bestPlan(algorithmArgument(info, 0)));
}

// (stream kernel, bytes, pieces): streaming SHA-256.
Napi::Value StreamDigest(const Napi::CallbackInfo& info) {
  const std::string name = byteString(info[0]);
  for (const StreamKernel& kernel : streamKernels()) {
    if (name != kernel.name) continue;
    Sha256 hash(kernel.compress);
    uint8_t digest[32];
    updateInPieces(hash, byteView(info[1]), info[2]);
    hash.finish(digest);
    return Napi::Buffer<uint8_t>::Copy(info.Env(), digest, sizeof digest);
  }
  throw Napi::TypeError::New(info.Env(), "this CPU has no SHA-256 kernel '" + name + "'");
}

}  // namespace

void initHash(Napi::Env, Napi::Object exports) {
  addFunction<VerityDigest>(exports, "verityDigest");
  addFunction<VerityDigestOfFd>(exports, "verityDigestOfFd");
  addFunction<VerityBatch>(exports, "verityBatch");
  addFunction<HashKernels>(exports, "hashKernels");
  addFunction<KernelDigest>(exports, "kernelDigest");
  addFunction<KernelBatch>(exports, "kernelBatch");
  addFunction<StreamKernels>(exports, "streamKernels");
  addFunction<StreamDigest>(exports, "streamDigest");
}

}  // namespace cfsbridge
