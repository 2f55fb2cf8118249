#include "addon.h"

#include <cstring>

namespace cfsbridge {

Napi::Error errnoError(Napi::Env env, int error, const char* syscall, const std::string& path) {
  const char* name = strerrorname_np(error);
  std::string code = name ? name : "EUNKNOWN";
  std::string text = code + ": " + strerror(error) + ", " + syscall + (path.empty() ? "" : " '" + path + "'");
  Napi::Error result = Napi::Error::New(env, text);
  result.Set("errno", Napi::Number::New(env, error));
  result.Set("code", code);
  result.Set("syscall", syscall);
  if (!path.empty()) result.Set("path", path);
  return result;
}

void throwErrno(Napi::Env env, int error, const char* syscall, const std::string& path) {
  throw errnoError(env, error, syscall, path);
}

std::string byteString(const Napi::Value& value) {
  napi_env env = value.Env();
  if (!value.IsString()) throw Napi::TypeError::New(env, "expected a byte string");
  size_t length = 0;
  napi_get_value_string_latin1(env, value, nullptr, 0, &length);
  std::string bytes(length, '\0');
  napi_get_value_string_latin1(env, value, bytes.data(), length + 1, &length);
  if (bytes.find('\0') != std::string::npos) throw Napi::TypeError::New(env, "a name must not contain a NUL byte");
  return bytes;
}

int fdArgument(const Napi::CallbackInfo& info, size_t index) {
  if (index >= info.Length() || !info[index].IsNumber())
    throw Napi::TypeError::New(info.Env(), "expected a file descriptor number");
  return info[index].As<Napi::Number>().Int32Value();
}

}  // namespace cfsbridge

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  cfsbridge::initBase64(env, exports);
  cfsbridge::initCheck(env, exports);
  cfsbridge::initFiles(env, exports);
  cfsbridge::initMount(env, exports);
  cfsbridge::initHash(env, exports);
  cfsbridge::initParts(env, exports);
  cfsbridge::initPool(env, exports);
  cfsbridge::initRemove(env, exports);
  cfsbridge::initScan(env, exports);
  cfsbridge::initSeal(env, exports);
  cfsbridge::initSocket(env, exports);
  cfsbridge::initSocketPoll(env, exports);
  return exports;
}

NODE_API_MODULE(cfsbridge, Init)
