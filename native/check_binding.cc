// JavaScript's view of the check of all objects.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "addon.h"
#include "check_objects.h"

namespace cfsbridge {
namespace {

// Work on another thread that a flag can end early, and whose result or error a promise gives.
class FolderWorker : public Napi::AsyncWorker {
 public:
  FolderWorker(Napi::Env env, OwnedFd objects, Napi::Uint8Array cancelled) : AsyncWorker(env), objects_(std::move(objects)), deferred_(env) {
    cancelled_ = Napi::Persistent(cancelled.As<Napi::Object>());
  }
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  virtual void work() = 0;
  virtual Napi::Value result() = 0;

  void Execute() override {
    try {
      work();
    } catch (StoreError& error) {
      code_ = error.code;
      SetError(error.message);
    }
  }

  void OnOK() override { deferred_.Resolve(result()); }

  void OnError(const Napi::Error& error) override {
    error.Value().As<Napi::Object>().Set("code", code_);
    deferred_.Reject(error.Value());
  }

  OwnedFd objects_;

 private:
  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference cancelled_;  // keeps the flag's memory
  std::string code_;
};

Napi::Value latin1(Napi::Env env, const std::string& bytes) {
  napi_value text;
  napi_create_string_latin1(env, bytes.data(), bytes.size(), &text);
  return Napi::Value(env, text);
}

class ListWorker : public FolderWorker {
 public:
  ListWorker(Napi::Env env, OwnedFd objects, Algorithm algorithm, Napi::Uint8Array cancelled)
      : FolderWorker(env, std::move(objects), cancelled), listing_(objects_.get(), algorithm, cancelled.Data()) {}

 protected:
  void work() override { listing_.run(); }

  Napi::Value result() override {
    Napi::Env env = Env();
    Napi::Array others = Napi::Array::New(env, listing_.others.size());
    for (uint32_t i = 0; i < listing_.others.size(); i++) others.Set(i, latin1(env, listing_.others[i]));
    Napi::Object result = Napi::Object::New(env);
    result.Set("ids", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(listing_.ids.data()), listing_.ids.size()));
    result.Set("places", Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(listing_.places.data()), listing_.places.size() * sizeof(ObjectPlace)));
    result.Set("others", others);
    return result;
  }

 private:
  ObjectListing listing_;
};

class CheckWorker : public FolderWorker {
 public:
  CheckWorker(Napi::Env env, OwnedFd objects, Napi::Object names, ListedObjects listed, CheckOptions options, Napi::Uint8Array cancelled)
      : FolderWorker(env, std::move(objects), cancelled), names_(Napi::Persistent(names)), check_(objects_.get(), listed, options, cancelled.Data()) {}

 protected:
  void work() override { check_.run(); }

  Napi::Value result() override {
    Napi::Env env = Env();
    Napi::Array defects = Napi::Array::New(env, check_.defects.size());
    for (uint32_t i = 0; i < check_.defects.size(); i++) {
      const ObjectDefect& defect = check_.defects[i];
      Napi::Array entry = Napi::Array::New(env, 3);
      entry.Set(0u, latin1(env, defect.path));
      entry.Set(1u, Napi::Number::New(env, static_cast<double>(defect.kind)));
      entry.Set(2u, Napi::String::New(env, defect.detail));
      defects.Set(i, entry);
    }
    return defects;
  }

 private:
  Napi::ObjectReference names_;  // keeps the memory of what was listed
  ObjectCheck check_;
};

OwnedFd duplicate(const Napi::CallbackInfo& info) {
  OwnedFd fd(fcntl(fdArgument(info, 0), F_DUPFD_CLOEXEC, 3));
  if (!fd) throwErrno(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)");
  return fd;
}

Napi::Value start(FolderWorker* worker) {
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

// (objects folder, algorithm, flag): ends soon after the byte in `flag` becomes other than 0.
Napi::Value ListObjects(const Napi::CallbackInfo& info) {
  return start(new ListWorker(info.Env(), duplicate(info), static_cast<Algorithm>(info[1].As<Napi::Number>().Int32Value()), info[2].As<Napi::Uint8Array>()));
}

// (objects folder, algorithm, what ListObjects gave, verity required, flag)
Napi::Value CheckObjects(const Napi::CallbackInfo& info) {
  const CheckOptions options{static_cast<Algorithm>(info[1].As<Napi::Number>().Int32Value()), info[3].ToBoolean().Value()};
  Napi::Object names = info[2].As<Napi::Object>();
  auto ids = names.Get("ids").As<Napi::Buffer<uint8_t>>(), places = names.Get("places").As<Napi::Buffer<uint8_t>>();
  const size_t size = digestSize(options.algorithm), count = ids.Length() / size;
  if (ids.Length() % size != 0 || places.Length() != count * sizeof(ObjectPlace)) throw Napi::TypeError::New(info.Env(), "not a list of objects");
  const ListedObjects listed{ids.Data(), reinterpret_cast<const ObjectPlace*>(places.Data()), count};
  return start(new CheckWorker(info.Env(), duplicate(info), names, listed, options, info[4].As<Napi::Uint8Array>()));
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
    // Whoever chose the names may have spread them unevenly: then the whole list is searched.
    if (from < count && compare(from, digest) <= 0) low = from;
    if (to < count && compare(to, digest) > 0) high = to;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (compare(middle, digest) < 0) low = middle + 1;
      else high = middle;
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
  if (size < 8 || known.ByteLength() % size != 0 || wanted.ByteLength() % size != 0) throw Napi::TypeError::New(info.Env(), "not a list of digests");
  Napi::Array missing = Napi::Array::New(info.Env());
  const SortedDigests sorted{known.Data(), size, known.ByteLength() / size};
  for (size_t index = 0; index < wanted.ByteLength() / size; index++) {
    if (!sorted.contains(wanted.Data() + index * size)) missing.Set(missing.Length(), Napi::Number::New(info.Env(), static_cast<double>(index)));
  }
  return missing;
}

}  // namespace

void initCheck(Napi::Env env, Napi::Object exports) {
  exports.Set("listObjects", Napi::Function::New(env, ListObjects, "listObjects"));
  exports.Set("checkObjects", Napi::Function::New(env, CheckObjects, "checkObjects"));
  exports.Set("missingDigests", Napi::Function::New(env, MissingDigests, "missingDigests"));
}

}  // namespace cfsbridge
