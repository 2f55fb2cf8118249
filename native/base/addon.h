// What every part of the addon shares: how functions get to JavaScript, errors that carry errno, and arguments.
#pragma once
#include <napi.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/promise_job.h"
#include "hash/sharing.h"

namespace cfsbridge {

// Calls what JavaScript called. Whatever C++ throws becomes JavaScript's exception, with a `code`; it would end the
// process otherwise.
template <typename Call>
Napi::Value guarded(const Napi::CallbackInfo& info, Call&& call) {
  try {
    return call();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw errorOf(info.Env(), std::current_exception());
  }
}

template <Napi::Value (*call)(const Napi::CallbackInfo&)>
Napi::Value guardedFunction(const Napi::CallbackInfo& info) {
  return guarded(info, [&] { return call(info); });
}

// Gives JavaScript a function: addFunction<Fstatat>(exports, "fstatat").
template <Napi::Value (*call)(const Napi::CallbackInfo&)>
void addFunction(Napi::Object exports, const char* name, void* data = nullptr) {
  exports.Set(name, Napi::Function::New<guardedFunction<call>>(exports.Env(), name, data));
}

// Makes an object of a class. node-addon-api calls the constructor, and its error for too little memory has no `code`.
Napi::Object construct(const Napi::FunctionReference& constructor, const std::vector<napi_value>& arguments);

// Throws a JavaScript Error with `errno`, `code` ("ENOENT") and `syscall`, like Node's own fs errors.
[[noreturn]] void throwErrno(Napi::Env env, int error, const char* syscall, const std::string& path = "");
Napi::Error errnoError(Napi::Env env, int error, const char* syscall, const std::string& path = "");

// Names are byte strings: every UTF-16 unit of the JavaScript string is one byte.
std::string byteString(const Napi::Value& value);
Napi::Value fromByteString(Napi::Env env, const std::string& bytes);
// A descriptor's number, or AT_FDCWD. Any other number is refused: cut to 32 bits it would be somebody else's
// descriptor.
int fdArgument(const Napi::CallbackInfo& info, size_t index);
int fdNumber(const Napi::Value& value);
// The same file, by a descriptor of our own: the caller may close theirs at once.
OwnedFd duplicatedFd(const Napi::CallbackInfo& info, size_t index);
// Bytes that are looked at later, or by another thread. Their memory must stay what it is: shared and resizable buffers
// are refused.
Napi::Uint8Array steadyBytes(const Napi::Value& value);
// A list of user ids.
SharingRule sharingRule(const Napi::Value& believed);

void initAbort(Napi::Env env, Napi::Object exports);
void initBase64(Napi::Env env, Napi::Object exports);
void initBeginnings(Napi::Env env, Napi::Object exports);
void initCheck(Napi::Env env, Napi::Object exports);
void initDelta(Napi::Env env, Napi::Object exports);
void initExtract(Napi::Env env, Napi::Object exports);
void initFiles(Napi::Env env, Napi::Object exports);
void initForeign(Napi::Env env, Napi::Object exports);
void initGunzip(Napi::Env env, Napi::Object exports);
void initInterruption(Napi::Env env, Napi::Object exports);
void initInUse(Napi::Env env, Napi::Object exports);
void initMount(Napi::Env env, Napi::Object exports);
void initHash(Napi::Env env, Napi::Object exports);
void initParts(Napi::Env env, Napi::Object exports);
void initPool(Napi::Env env, Napi::Object exports);
void initPump(Napi::Env env, Napi::Object exports);
void initRelease(Napi::Env env, Napi::Object exports);
void initRemove(Napi::Env env, Napi::Object exports);
void initScan(Napi::Env env, Napi::Object exports);
void initSeal(Napi::Env env, Napi::Object exports);
void initSocket(Napi::Env env, Napi::Object exports);
void initSocketPoll(Napi::Env env, Napi::Object exports);
void initXattrs(Napi::Env env, Napi::Object exports);
void initZstd(Napi::Env env, Napi::Object exports);

}  // namespace cfsbridge
