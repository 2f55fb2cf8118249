#include "base/promise_job.h"

#include <new>
#include <system_error>

#include "base/addon.h"

namespace cfsbridge {
namespace {

Napi::Error typed(Napi::Env env, const char* code, const char* message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", code);
  return error;
}

Napi::Error outOfMemory(Napi::Env env) {
  return typed(env, "OUT_OF_MEMORY", "there is not enough memory for this; run it again when there is");
}

Napi::Error translated(Napi::Env env, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Napi::Error& error) {
    return error;
  } catch (const StoreError& error) {
    return typed(env, error.code.c_str(), error.message.c_str());
  } catch (const SystemError& error) {
    return errnoError(env, error.error, error.syscall, error.path);
  } catch (const std::bad_alloc&) {
    return outOfMemory(env);
  } catch (const std::system_error&) {
    // Nothing else of the standard library that is used here throws it.
    return typed(env, "NO_THREAD", "no thread can be started: the limit of processes or tasks is reached, or memory");
  } catch (const std::exception& error) {
    return typed(env, "UNEXPECTED", error.what());
  } catch (...) {
    return typed(env, "UNEXPECTED", "native code failed and did not say why");
  }
}

}  // namespace

Napi::Error errorOf(Napi::Env env, const std::exception_ptr& thrown) {
  try {
    return translated(env, thrown);
  } catch (const std::bad_alloc&) {
    return outOfMemory(env);
  }
}

Napi::Uint8Array PromiseJob::kept(Napi::Uint8Array bytes) {
  kept_.push_back(Napi::Persistent(bytes.As<Napi::Object>()));
  return bytes;
}

CancelFlag PromiseJob::keptFlag(const Napi::Value& flag) {
  const Napi::Uint8Array bytes = steadyBytes(flag);
  if (bytes.ByteLength() != 1) throw Napi::TypeError::New(flag.Env(), "expected a flag of one byte");
  return CancelFlag(kept(bytes).Data());
}

void PromiseJob::Execute() {
  try {
    work();
  } catch (...) {
    thrown_ = std::current_exception();
  }
}

// Not even what is thrown here may get out: it would be an exception that nobody can catch.
void PromiseJob::OnOK() {
  const Napi::Env env = Env();
  try {
    if (!thrown_) return deferred_.Resolve(result(env));
  } catch (...) {
    thrown_ = std::current_exception();
  }
  try {
    deferred_.Reject(rejection(env, thrown_).Value());
  } catch (...) {
    deferred_.Reject(errorOf(env, std::current_exception()).Value());
  }
}

}  // namespace cfsbridge
