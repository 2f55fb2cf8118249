// Work on another thread for which JavaScript has a promise. Every asynchronous function of the addon but the layers of
// ingest/ and the calls of sys/foreign.cc is one, and these, too, make their errors here: whatever happens, the promise
// settles, and the process goes on.
#pragma once
#include <napi.h>

#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "base/cancel_flag.h"
#include "base/failure.h"

namespace cfsbridge {

// What was thrown, as JavaScript's error with a `code`: that of a StoreError, errno's name of a SystemError,
// OUT_OF_MEMORY, NO_THREAD, or UNEXPECTED. Does not throw, but for JavaScript's own errors.
Napi::Error errorOf(Napi::Env env, const std::exception_ptr& thrown);

class PromiseJob : private Napi::AsyncWorker {
 public:
  // Queues a job, which deletes itself in the end.
  template <typename Job, typename... Arguments>
  static Napi::Promise start(Napi::Env env, Arguments&&... arguments) {
    auto job = std::make_unique<Job>(env, std::forward<Arguments>(arguments)...);
    const Napi::Promise promise = job->deferred_.Promise();
    static_cast<PromiseJob&>(*job).Queue();
    job.release();
    return promise;
  }

 protected:
  explicit PromiseJob(Napi::Env env) : AsyncWorker(env), deferred_(env) {}

  // On the other thread. Anything may be thrown.
  virtual void work() = 0;
  // Afterwards, on JavaScript's: what the promise resolves with.
  virtual Napi::Value result(Napi::Env env) = 0;
  // Or what it rejects with.
  virtual Napi::Error rejection(Napi::Env env, const std::exception_ptr& thrown) { return errorOf(env, thrown); }

  // Bytes of JavaScript's that work() looks at: they stay until the job is deleted.
  Napi::Uint8Array kept(Napi::Uint8Array bytes);
  CancelFlag keptFlag(const Napi::Value& flag);

 private:
  void Execute() final;
  void OnOK() final;

  Napi::Promise::Deferred deferred_;
  std::exception_ptr thrown_;
  std::vector<Napi::ObjectReference> kept_;
};

}  // namespace cfsbridge
