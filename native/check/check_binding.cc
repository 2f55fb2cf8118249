// JavaScript's view of the check of all objects.
#include <algorithm>
#include <cstring>

#include "base/addon.h"
#include "check/check_objects.h"

namespace cfsbridge {
namespace {

class ListJob : public PromiseJob {
 public:
  ListJob(Napi::Env env, OwnedFd objects, Algorithm algorithm, const Napi::Value& cancelled)
      : PromiseJob(env), objects_(std::move(objects)), listing_(objects_.get(), algorithm, keptFlag(cancelled)) {}

 private:
  void work() override { listing_.run(); }

  Napi::Value result(Napi::Env env) override {
    Napi::Array others = Napi::Array::New(env, listing_.others.size());
    for (uint32_t i = 0; i < listing_.others.size(); i++) others.Set(i, fromByteString(env, listing_.others[i]));
    Napi::Object result = Napi::Object::New(env);
    result.Set("ids", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(listing_.ids.data()),
                                                  listing_.ids.size()));
    result.Set("places", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(listing_.places.data()),
                                                     listing_.places.size() * sizeof(ObjectPlace)));
    result.Set("others", others);
    return result;
  }

  const OwnedFd objects_;
  ObjectListing listing_;
};

class CheckJob : public PromiseJob {
 public:
  CheckJob(Napi::Env env, OwnedFd objects, Napi::Uint8Array ids, Napi::Uint8Array places, const CheckOptions& options,
           const Napi::Value& cancelled)
      : PromiseJob(env),
        objects_(std::move(objects)),
        check_(objects_.get(),
               {kept(ids).Data(), reinterpret_cast<const ObjectPlace*>(kept(places).Data()),
                places.ByteLength() / sizeof(ObjectPlace)},
               options, keptFlag(cancelled)) {}

 private:
  void work() override { check_.run(); }

  Napi::Value result(Napi::Env env) override {
    Napi::Array defects = Napi::Array::New(env, check_.defects.size());
    for (uint32_t i = 0; i < check_.defects.size(); i++) {
      const ObjectDefect& defect = check_.defects[i];
      Napi::Array entry = Napi::Array::New(env, 3);
      entry.Set(0u, fromByteString(env, defect.path));
      entry.Set(1u, Napi::Number::New(env, static_cast<double>(defect.kind)));
      entry.Set(2u, Napi::String::New(env, defect.detail));
      defects.Set(i, entry);
    }
    return defects;
  }

  const OwnedFd objects_;
  ObjectCheck check_;
};

// (objects folder, algorithm, flag): ends soon after the byte in `flag` becomes other than 0.
Napi::Value ListObjects(const Napi::CallbackInfo& info) {
  const auto algorithm = static_cast<Algorithm>(info[1].As<Napi::Number>().Int32Value());
  return PromiseJob::start<ListJob>(info.Env(), duplicatedFd(info, 0), algorithm, info[2]);
}

// (objects folder, algorithm, what ListObjects gave, verity required, flag, user ids: see SharingRule)
Napi::Value CheckObjects(const Napi::CallbackInfo& info) {
  const CheckOptions options{static_cast<Algorithm>(info[1].As<Napi::Number>().Int32Value()),
                             info[3].ToBoolean().Value(), sharingRule(info[5])};
  Napi::Object names = info[2].As<Napi::Object>();
  auto ids = steadyBytes(names.Get("ids")), places = steadyBytes(names.Get("places"));
  const size_t size = digestSize(options.algorithm), count = ids.ByteLength() / size;
  if (ids.ByteLength() % size != 0 || places.ByteLength() != count * sizeof(ObjectPlace))
    throw Napi::TypeError::New(info.Env(), "not a list of objects");
  return PromiseJob::start<CheckJob>(info.Env(), duplicatedFd(info, 0), ids, places, options, info[4]);
}

// Digests in ascending order. They are evenly spread, so where one belongs can be told from its first bytes.
struct SortedDigests {
  const uint8_t* bytes;
  size_t size;
  size_t count;

  bool contains(const uint8_t* digest) const {
    size_t low = 0, high = count;
    const size_t guess = static_cast<size_t>(static_cast<unsigned __int128>(firstBytes(digest)) * count >> 64);
    const size_t from = guess < kAround ? 0 : guess - kAround, to = guess + kAround < count ? guess + kAround : count;
    // The owner of the names may have spread them unevenly: then the whole list is searched.
    if (from < count && compare(from, digest) <= 0) low = from;
    if (to < count && compare(to, digest) > 0) high = to;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (compare(middle, digest) < 0)
        low = middle + 1;
      else
        high = middle;
    }
    return low < count && compare(low, digest) == 0;
  }

 private:
  static constexpr size_t kAround = 256;

  int compare(size_t index, const uint8_t* digest) const { return memcmp(bytes + index * size, digest, size); }
  static uint64_t firstBytes(const uint8_t* digest) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) number = number << 8 | digest[i];
    return number;
  }
};

// (sorted digests, digest size, digests): positions of those of the third that are not in the first.
Napi::Value MissingDigests(const Napi::CallbackInfo& info) {
  auto known = info[0].As<Napi::Uint8Array>(), wanted = info[2].As<Napi::Uint8Array>();
  const size_t size = info[1].As<Napi::Number>().Uint32Value();
  if (size < 8 || known.ByteLength() % size != 0 || wanted.ByteLength() % size != 0)
    throw Napi::TypeError::New(info.Env(), "not a list of digests");
  Napi::Array missing = Napi::Array::New(info.Env());
  const SortedDigests sorted{known.Data(), size, known.ByteLength() / size};
  for (size_t index = 0; index < wanted.ByteLength() / size; index++) {
    if (!sorted.contains(wanted.Data() + index * size))
      missing.Set(missing.Length(), Napi::Number::New(info.Env(), static_cast<double>(index)));
  }
  return missing;
}

}  // namespace

void initCheck(Napi::Env, Napi::Object exports) {
  addFunction<ListObjects>(exports, "listObjects");
  addFunction<CheckObjects>(exports, "checkObjects");
  addFunction<MissingDigests>(exports, "missingDigests");
}

}  // namespace cfsbridge
