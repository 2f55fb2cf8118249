// What every part of the addon shares: errors that carry errno, and argument access.
#pragma once
#include <napi.h>

#include <cerrno>
#include <string>

namespace cfsbridge {

// Throws a JavaScript Error with `errno`, `code` ("ENOENT") and `syscall`, like Node's own fs errors.
[[noreturn]] void throwErrno(Napi::Env env, int error, const char* syscall, const std::string& path = "");
Napi::Error errnoError(Napi::Env env, int error, const char* syscall, const std::string& path = "");

// Names are byte strings: every UTF-16 unit of the JavaScript string is one byte.
std::string byteString(const Napi::Value& value);
int fdArgument(const Napi::CallbackInfo& info, size_t index);

void initBase64(Napi::Env env, Napi::Object exports);
void initCheck(Napi::Env env, Napi::Object exports);
void initFiles(Napi::Env env, Napi::Object exports);
void initMount(Napi::Env env, Napi::Object exports);
void initHash(Napi::Env env, Napi::Object exports);
void initParts(Napi::Env env, Napi::Object exports);
void initPool(Napi::Env env, Napi::Object exports);
void initRemove(Napi::Env env, Napi::Object exports);
void initScan(Napi::Env env, Napi::Object exports);
void initSeal(Napi::Env env, Napi::Object exports);
void initSocket(Napi::Env env, Napi::Object exports);
void initSocketPoll(Napi::Env env, Napi::Object exports);

}  // namespace cfsbridge
