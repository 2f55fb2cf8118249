// JavaScript's view of the object store and of ingests.
#include <sys/sysmacros.h>

#include <atomic>
#include <cstring>
#include <map>

#include "base/addon.h"
#include "ingest/ingest.h"
#include "ingest/pool.h"
#include "ingest/read_batch.h"
#include "store/store_jobs.h"

namespace cfsbridge {
namespace {

Napi::Value packResults(Napi::Env env, const std::vector<FileResult>& results) {
  auto packed = Napi::Buffer<uint8_t>::New(env, results.size() * kResultEnd);
  uint8_t* at = packed.Data();
  for (const FileResult& result : results) {
    at[kResultOutcome] = static_cast<uint8_t>(result.outcome);
    at[kResultLength] = result.length;
    memcpy(at + kResultContent, result.bytes.data(), kResultEnd - kResultContent);
    at += kResultEnd;
  }
  return packed;
}

class NativeIngest;

// The answer to one batch on its way to JavaScript.
struct Reply : Answer {
  Reply(NativeIngest* ingest, uint64_t id) : ingest(ingest), id(id) {}
  NativeIngest* const ingest;  // kept alive by its own reference while batches are out
  const uint64_t id;
};
void deliver(Napi::Env env, Napi::Function, void*, Reply* reply);

// The way from the pool's threads into one JavaScript environment. It lives as long as the environment, and keeps the
// event loop alive only while something is awaited.
struct Environment {
  using Tell = Napi::TypedThreadSafeFunction<void, Reply, deliver>;
  Tell tell;
  Napi::FunctionReference ingest, store;
  size_t awaited = 0;
};

std::atomic<int> environments{0};

class NativeIngest : public Napi::ObjectWrap<NativeIngest> {
 public:
  explicit NativeIngest(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    auto store = *info[0].As<Napi::External<std::shared_ptr<ObjectStore>>>().Data();
    Napi::Object options = info[1].As<Napi::Object>();
    const auto flag = [&](const char* name) { return options.Get(name).ToBoolean().Value(); };
    TakePolicy policy{flag("store"), flag("reflink"),    flag("hardlink"),
                      flag("copy"),  flag("sealSource"), flag("trusted")};
    environment_ = info.Env().GetInstanceData<Environment>();
    ingest_ =
        std::make_shared<Ingest>(std::move(store), policy, [tell = environment_->tell](std::unique_ptr<Answer> answer) {
          auto* reply = static_cast<Reply*>(answer.release());
          if (tell.NonBlockingCall(reply) != napi_ok) delete reply;
        });
  }

  ~NativeIngest() override {
    if (ingest_) ingest_->abort("the ingest was dropped");
  }

  template <Napi::Value (NativeIngest::*call)(const Napi::CallbackInfo&)>
  static PropertyDescriptor method(const char* name) {
    return InstanceMethod<&NativeIngest::Guarded<call>>(name);
  }
  template <Napi::Value (NativeIngest::*call)(const Napi::CallbackInfo&)>
  Napi::Value Guarded(const Napi::CallbackInfo& info) {
    return guarded(info, [&] { return (this->*call)(info); });
  }

  Napi::Value Submit(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    const auto ops = info[0].As<Napi::Uint8Array>();
    auto deferred = Napi::Promise::Deferred::New(env);
    try {
      std::shared_ptr<Batch> batch = readBatch(ops.Data(), ops.ByteLength());
      const uint64_t id = nextId_++;
      batch->answer = std::make_unique<Reply>(this, id);
      const auto waiting = pending_.emplace(id, deferred).first;
      try {
        ingest_->submit(std::move(batch));
      } catch (...) {
        pending_.erase(waiting);
        throw;
      }
    } catch (...) {
      deferred.Reject(errorOf(env, std::current_exception()).Value());
      return deferred.Promise();
    }
    if (environment_->awaited++ == 0) environment_->tell.Ref(env);
    if (pending_.size() == 1) Ref();
    return deferred.Promise();
  }

  Napi::Value Digest(const Napi::CallbackInfo& info) {
    uint8_t digest[32];
    ingest_->digest(digest);
    return Napi::Buffer<uint8_t>::Copy(info.Env(), digest, 32);
  }

  Napi::Value Abort(const Napi::CallbackInfo& info) {
    ingest_->abort("aborted");
    return info.Env().Undefined();
  }

  // (milliseconds, message): see Ingest::endSilence. To be called several times in so long.
  Napi::Value EndSilence(const Napi::CallbackInfo& info) {
    ingest_->endSilence(std::chrono::milliseconds(info[0].As<Napi::Number>().Int64Value()),
                        info[1].As<Napi::String>().Utf8Value());
    return info.Env().Undefined();
  }

  // Nothing may be under way.
  Napi::Value WithdrawWrong(const Napi::CallbackInfo& info) {
    return PromiseJob::start<StoreJob>(info.Env(), [ingest = ingest_] { ingest->withdrawWrong(); });
  }

  void finished(Napi::Env env, const Reply& reply) {
    auto found = pending_.find(reply.id);
    if (found == pending_.end()) return;
    Napi::Promise::Deferred deferred = found->second;
    pending_.erase(found);
    try {
      if (reply.failure) std::rethrow_exception(reply.failure);
      deferred.Resolve(packResults(env, reply.results));
    } catch (...) {
      Napi::Error error = errorOf(env, std::current_exception());
      if (reply.failedFile >= 0) error.Set("file", static_cast<double>(reply.failedFile));
      deferred.Reject(error.Value());
    }
    if (--environment_->awaited == 0) environment_->tell.Unref(env);
    if (pending_.empty()) Unref();
  }

 private:
  std::shared_ptr<Ingest> ingest_;
  Environment* environment_;
  std::map<uint64_t, Napi::Promise::Deferred> pending_;
  uint64_t nextId_ = 1;
};

void deliver(Napi::Env env, Napi::Function, void*, Reply* told) {
  const std::unique_ptr<Reply> reply(told);
  // The environment may be ending, and then nobody waits.
  if (static_cast<napi_env>(env)) reply->ingest->finished(env, *reply);
}

class NativeStore : public Napi::ObjectWrap<NativeStore> {
 public:
  explicit NativeStore(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    SharingRule sharing = sharingRule(info[3]);
    OwnedFd objects = duplicatedFd(info, 0), staging;
    auto algorithm = static_cast<Algorithm>(info[1].As<Napi::Number>().Int32Value());
    if (!info[4].IsUndefined()) staging = duplicatedFd(info, 4);
    store_ = std::make_shared<ObjectStore>(objects.release(), algorithm, info[2].ToBoolean().Value(),
                                           std::move(sharing), staging.release());
  }

  template <Napi::Value (NativeStore::*call)(const Napi::CallbackInfo&)>
  static PropertyDescriptor method(const char* name) {
    return InstanceMethod<&NativeStore::Guarded<call>>(name);
  }
  template <Napi::Value (NativeStore::*call)(const Napi::CallbackInfo&)>
  Napi::Value Guarded(const Napi::CallbackInfo& info) {
    return guarded(info, [&] { return (this->*call)(info); });
  }

  // (staging folder): see ObjectStore::land.
  Napi::Value Land(const Napi::CallbackInfo& info) {
    auto staging = std::make_shared<OwnedFd>(duplicatedFd(info, 0));
    return PromiseJob::start<StoreJob>(info.Env(), [store = store_, staging] { store->land(staging->get()); });
  }
  Napi::Value Put(const Napi::CallbackInfo& info) { return PromiseJob::start<PutJob>(info.Env(), store_, info[0]); }
  Napi::Value FirstMissing(const Napi::CallbackInfo& info) {
    return PromiseJob::start<MissingJob>(info.Env(), store_, info[0].As<Napi::Uint8Array>());
  }
  Napi::Value Unusable(const Napi::CallbackInfo& info) {
    return PromiseJob::start<UnusableJob>(info.Env(), store_, info[0].As<Napi::Uint8Array>());
  }
  Napi::Value MakeIngest(const Napi::CallbackInfo& info) {
    auto external = Napi::External<std::shared_ptr<ObjectStore>>::New(info.Env(), &store_);
    return construct(info.Env().GetInstanceData<Environment>()->ingest, {external, info[0]});
  }
  // (name): see ObjectStore::size.
  Napi::Value Size(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(store_->size(byteString(info[0]))));
  }
  // (digest): see ObjectStore::distrust.
  Napi::Value Distrust(const Napi::CallbackInfo& info) {
    auto bytes = info[0].As<Napi::Uint8Array>();
    if (bytes.ByteLength() != digestSize(store_->algorithm()))
      throw Napi::TypeError::New(info.Env(), "not a digest of this store");
    Digest digest{};
    memcpy(digest.data(), bytes.Data(), bytes.ByteLength());
    store_->distrust(digest);
    return info.Env().Undefined();
  }
  // [hardlink, major, minor, code of the error]: see ObjectStore::refusals.
  Napi::Value Refusals(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Napi::Array all = Napi::Array::New(env);
    for (const auto& [hardlink, device, error] : store_->refusals()) {
      Napi::Array one = Napi::Array::New(env, 4);
      one.Set(0u, hardlink);
      one.Set(1u, major(device));
      one.Set(2u, minor(device));
      one.Set(3u, errnoName(error));
      all.Set(all.Length(), one);
    }
    return all;
  }
  // For the addon's other functions that put things into the store.
  Napi::Value Handle(const Napi::CallbackInfo& info) {
    return Napi::External<std::shared_ptr<ObjectStore>>::New(info.Env(), &store_);
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    store_->close();
    return info.Env().Undefined();
  }

 private:
  std::shared_ptr<ObjectStore> store_;
};

// (objects folder, algorithm, verity required, user ids: see SharingRule, staging folder or undefined)
Napi::Value OpenStore(const Napi::CallbackInfo& info) {
  return construct(info.Env().GetInstanceData<Environment>()->store, {info[0], info[1], info[2], info[3], info[4]});
}

}  // namespace

void initPool(Napi::Env env, Napi::Object exports) {
  Napi::Function ingest =
      NativeIngest::DefineClass(env, "NativeIngest",
                                {
                                    NativeIngest::method<&NativeIngest::Submit>("submit"),
                                    NativeIngest::method<&NativeIngest::Digest>("digest"),
                                    NativeIngest::method<&NativeIngest::Abort>("abort"),
                                    NativeIngest::method<&NativeIngest::EndSilence>("endSilence"),
                                    NativeIngest::method<&NativeIngest::WithdrawWrong>("withdrawWrong"),
                                });
  Napi::Function store = NativeStore::DefineClass(env, "NativeStore",
                                                  {
                                                      NativeStore::method<&NativeStore::Put>("put"),
                                                      NativeStore::method<&NativeStore::FirstMissing>("firstMissing"),
                                                      NativeStore::method<&NativeStore::Unusable>("unusable"),
                                                      NativeStore::method<&NativeStore::MakeIngest>("ingest"),
                                                      NativeStore::method<&NativeStore::Distrust>("distrust"),
                                                      NativeStore::method<&NativeStore::Refusals>("refusals"),
                                                      NativeStore::method<&NativeStore::Size>("size"),
                                                      NativeStore::method<&NativeStore::Handle>("handle"),
                                                      NativeStore::method<&NativeStore::Land>("land"),
                                                      NativeStore::method<&NativeStore::Close>("close"),
                                                  });
  auto* environment = new Environment{Environment::Tell::New(env, "cfsbridge ingest", 0, 1), Napi::Persistent(ingest),
                                      Napi::Persistent(store)};
  environment->tell.Unref(env);
  env.SetInstanceData(environment);
  addFunction<OpenStore>(exports, "openStore");
  environments++;
  env.AddCleanupHook([] {
    if (--environments == 0) Pool::shared().stop();
  });
}

}  // namespace cfsbridge
