// JavaScript's view of the object store and of ingests.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>

#include "addon.h"
#include "ingest.h"
#include "op_reader.h"

namespace cfsbridge {
namespace {

Napi::Value toError(Napi::Env env, const StoreError& error) {
  Napi::Error result = Napi::Error::New(env, error.message);
  result.Set("code", error.code);
  return result.Value();
}

// The operations of a batch as `src/repository/batch.ts` writes them.
void parseOps(Batch& batch, size_t size) {
  OpReader ops(batch.bytes.get(), size);
  while (!ops.done()) {
    Item item;
    uint8_t kind = ops.number<uint8_t>();
    if (kind > static_cast<uint8_t>(Item::Kind::DataEnd)) fail("INVALID_BATCH", "unknown operation");
    item.kind = static_cast<Item::Kind>(kind);
    switch (item.kind) {
      case Item::Kind::Bytes:
      case Item::Kind::Data:
      case Item::Kind::Memory:
        item.size = ops.number<uint32_t>();
        item.data = ops.bytes(item.size);
        break;
      case Item::Kind::Named: {
        item.dir = ops.number<int32_t>();
        item.size = ops.number<uint64_t>();
        size_t length = ops.number<uint16_t>();
        item.name = std::string_view(reinterpret_cast<const char*>(ops.bytes(length)), length);
        break;
      }
      case Item::Kind::Open:
        item.fd.reset(ops.number<int32_t>());
        item.size = ops.number<uint64_t>();
        break;
      case Item::Kind::DataBegin:
        item.size = ops.number<uint64_t>();
        break;
      case Item::Kind::DataEnd:
        break;
    }
    item.large = item.kind != Item::Kind::Memory && item.isFile() && item.size > kLargeFile;
    if (item.kind == Item::Kind::Memory) item.ready = true;
    if (item.isFile() || item.kind == Item::Kind::DataEnd) {
      item.result = batch.results.size();
      batch.results.emplace_back();
      if (item.isFile()) batch.unstored++;
    }
    batch.items.push_back(std::move(item));
  }
}

// Per file: outcome, length, 64 bytes of digest or content.
Napi::Value packResults(Napi::Env env, const Batch& batch) {
  auto packed = Napi::Buffer<uint8_t>::New(env, batch.results.size() * 66);
  uint8_t* at = packed.Data();
  for (const FileResult& result : batch.results) {
    at[0] = static_cast<uint8_t>(result.outcome);
    at[1] = result.length;
    memcpy(at + 2, result.bytes.data(), 64);
    at += 66;
  }
  return packed;
}

// The way from the pool's threads into one JavaScript environment. It lives as long as the environment, and keeps the
// event loop alive only while something is awaited.
struct Environment {
  Napi::ThreadSafeFunction tell;
  Napi::FunctionReference ingest;
  size_t awaited = 0;
};

std::atomic<int> environments{0};

class NativeIngest : public Napi::ObjectWrap<NativeIngest> {
 public:

  explicit NativeIngest(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    auto store = *info[0].As<Napi::External<std::shared_ptr<ObjectStore>>>().Data();
    Napi::Object options = info[1].As<Napi::Object>();
    const auto flag = [&](const char* name) { return options.Get(name).ToBoolean().Value(); };
    TakePolicy policy{flag("store"), flag("reflink"), flag("hardlink"), flag("copy"), flag("sealSource"), flag("trusted")};
    environment_ = info.Env().GetInstanceData<Environment>();
    ingest_ = std::make_shared<Ingest>(std::move(store), policy, [this, tell = environment_->tell](std::shared_ptr<Batch> batch, std::optional<StoreError> error) {
      // The wrapper is kept alive by its own reference while batches are out.
      tell.NonBlockingCall([this, batch, error](Napi::Env env, Napi::Function) { finished(env, *batch, error); });
    });
  }

  ~NativeIngest() override { ingest_->abort({"ABORTED", "the ingest was dropped"}); }

  Napi::Value Submit(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto ops = info[0].As<Napi::Uint8Array>();
    auto batch = std::make_shared<Batch>();
    size_t size = ops.ByteLength();
    batch->bytes.reset(new uint8_t[size + 1]);
    memcpy(batch->bytes.get(), ops.Data(), size);
    batch->id = nextId_++;
    auto deferred = Napi::Promise::Deferred::New(env);
    try {
      parseOps(*batch, size);
    } catch (StoreError& error) {
      deferred.Reject(toError(env, error));
      return deferred.Promise();
    }
    if (environment_->awaited++ == 0) environment_->tell.Ref(env);
    if (pending_.empty()) Ref();
    pending_.emplace(batch->id, deferred);
    ingest_->submit(std::move(batch));
    return deferred.Promise();
  }

  Napi::Value Digest(const Napi::CallbackInfo& info) {
    uint8_t digest[32];
    ingest_->digest(digest);
    return Napi::Buffer<uint8_t>::Copy(info.Env(), digest, 32);
  }

  void Abort(const Napi::CallbackInfo&) { ingest_->abort({"ABORTED", "aborted"}); }

 private:
  void finished(Napi::Env env, const Batch& batch, const std::optional<StoreError>& error) {
    auto found = pending_.find(batch.id);
    if (found == pending_.end()) return;
    Napi::Promise::Deferred deferred = found->second;
    pending_.erase(found);
    if (error) {
      Napi::Value value = toError(env, *error);
      if (batch.failedFile >= 0) value.As<Napi::Object>().Set("file", static_cast<double>(batch.failedFile));
      deferred.Reject(value);
    } else {
      deferred.Resolve(packResults(env, batch));
    }
    if (--environment_->awaited == 0) environment_->tell.Unref(env);
    if (pending_.empty()) Unref();
  }

  std::shared_ptr<Ingest> ingest_;
  Environment* environment_;
  std::map<uint64_t, Napi::Promise::Deferred> pending_;
  uint64_t nextId_ = 1;
};

struct PutWorker : Napi::AsyncWorker {
  PutWorker(Napi::Env env, std::shared_ptr<ObjectStore> store, Napi::Uint8Array bytes)
      : AsyncWorker(env), deferred(env), store(std::move(store)), keep(Napi::Persistent(bytes.As<Napi::Object>())),
        data(bytes.Data()), size(bytes.ByteLength()) {}
  void Execute() override {
    try {
      VerityHasher hasher(store->algorithm());
      hasher.update(data, size);
      hasher.finish(digest.data());
      if (store->presentAndRight(digest, size, nullptr)) return;
      OwnedFd file = store->temporary();
      for (size_t offset = 0; offset < size;) {
        ssize_t put = pwrite(file.get(), data + offset, size - offset, static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) failErrno(errno, "cannot write an object");
        offset += static_cast<size_t>(put);
      }
      store->publish(std::move(file), digest, size);
    } catch (StoreError& caught) {
      error = std::move(caught);
    }
  }
  void OnOK() override {
    if (error) deferred.Reject(toError(Env(), *error));
    else deferred.Resolve(Napi::Buffer<uint8_t>::Copy(Env(), digest.data(), digestSize(store->algorithm())));
  }
  Napi::Promise::Deferred deferred;
  std::shared_ptr<ObjectStore> store;
  Napi::ObjectReference keep;
  const uint8_t* data;
  size_t size;
  cfsbridge::Digest digest{};
  std::optional<StoreError> error;
};

// Looks for the first of some objects, given as raw digests, that is not there.
struct MissingWorker : Napi::AsyncWorker {
  MissingWorker(Napi::Env env, std::shared_ptr<ObjectStore> store, Napi::Uint8Array digests)
      : AsyncWorker(env), deferred(env), store(std::move(store)), digests(digests.Data(), digests.Data() + digests.ByteLength()) {}
  void Execute() override {
    const size_t size = digestSize(store->algorithm());
    cfsbridge::Digest digest{};
    try {
      for (size_t at = 0; at + size <= digests.size(); at += size) {
        memcpy(digest.data(), digests.data() + at, size);
        if (store->has(digest)) continue;
        missing = static_cast<int64_t>(at / size);
        return;
      }
    } catch (StoreError& caught) {
      error = std::move(caught);
    }
  }
  void OnOK() override {
    if (error) deferred.Reject(toError(Env(), *error));
    else deferred.Resolve(Napi::Number::New(Env(), static_cast<double>(missing)));
  }
  Napi::Promise::Deferred deferred;
  std::shared_ptr<ObjectStore> store;
  std::vector<uint8_t> digests;
  int64_t missing = -1;
  std::optional<StoreError> error;
};

class NativeStore : public Napi::ObjectWrap<NativeStore> {
 public:
  explicit NativeStore(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    int fd = fcntl(fdArgument(info, 0), F_DUPFD_CLOEXEC, 3);
    if (fd < 0) throwErrno(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)");
    auto algorithm = static_cast<Algorithm>(info[1].As<Napi::Number>().Int32Value());
    store_ = std::make_shared<ObjectStore>(fd, algorithm, info[2].ToBoolean().Value());
  }
  Napi::Value Put(const Napi::CallbackInfo& info) {
    auto* worker = new PutWorker(info.Env(), store_, info[0].As<Napi::Uint8Array>());
    Napi::Promise promise = worker->deferred.Promise();
    worker->Queue();
    return promise;
  }
  Napi::Value FirstMissing(const Napi::CallbackInfo& info) {
    auto* worker = new MissingWorker(info.Env(), store_, info[0].As<Napi::Uint8Array>());
    Napi::Promise promise = worker->deferred.Promise();
    worker->Queue();
    return promise;
  }
  Napi::Value MakeIngest(const Napi::CallbackInfo& info) {
    auto external = Napi::External<std::shared_ptr<ObjectStore>>::New(info.Env(), &store_);
    return info.Env().GetInstanceData<Environment>()->ingest.New({external, info[0]});
  }
  // (digest): see ObjectStore::distrust.
  void Distrust(const Napi::CallbackInfo& info) {
    auto bytes = info[0].As<Napi::Uint8Array>();
    if (bytes.ByteLength() != digestSize(store_->algorithm())) throw Napi::TypeError::New(info.Env(), "not a digest of this store");
    cfsbridge::Digest digest{};
    memcpy(digest.data(), bytes.Data(), bytes.ByteLength());
    store_->distrust(digest);
  }
  // For the addon's other functions that put things into the store.
  Napi::Value Handle(const Napi::CallbackInfo& info) {
    return Napi::External<std::shared_ptr<ObjectStore>>::New(info.Env(), &store_);
  }
  void Close(const Napi::CallbackInfo&) { store_->close(); }

 private:
  std::shared_ptr<ObjectStore> store_;
};

}  // namespace

void initPool(Napi::Env env, Napi::Object exports) {
  Napi::Function ingest = NativeIngest::DefineClass(env, "NativeIngest", {
    NativeIngest::InstanceMethod("submit", &NativeIngest::Submit),
    NativeIngest::InstanceMethod("digest", &NativeIngest::Digest),
    NativeIngest::InstanceMethod("abort", &NativeIngest::Abort),
  });
  auto* environment = new Environment{Napi::ThreadSafeFunction::New(env, Napi::Function(), "cfsbridge ingest", 0, 1), Napi::Persistent(ingest)};
  environment->tell.Unref(env);
  env.SetInstanceData(environment);
  exports.Set("NativeStore", NativeStore::DefineClass(env, "NativeStore", {
    NativeStore::InstanceMethod("put", &NativeStore::Put),
    NativeStore::InstanceMethod("firstMissing", &NativeStore::FirstMissing),
    NativeStore::InstanceMethod("ingest", &NativeStore::MakeIngest),
    NativeStore::InstanceMethod("distrust", &NativeStore::Distrust),
    NativeStore::InstanceMethod("handle", &NativeStore::Handle),
    NativeStore::InstanceMethod("close", &NativeStore::Close),
  }));
  environments++;
  env.AddCleanupHook([] {
    if (--environments == 0) Pool::shared().stop();
  });
}

}  // namespace cfsbridge
