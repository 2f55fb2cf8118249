#include "base/addon.h"

#include <fcntl.h>

#include <climits>
#include <cmath>
#include <cstring>
#include <new>

namespace cfsbridge {

Napi::Object construct(const Napi::FunctionReference& constructor, const std::vector<napi_value>& arguments) {
  try {
    return constructor.New(arguments);
  } catch (const Napi::Error& error) {
    if (error.Message() == std::bad_alloc().what()) throw std::bad_alloc();
    throw;
  }
}

Napi::Error errnoError(Napi::Env env, int error, const char* syscall, const std::string& path) {
  const std::string code = errnoName(error);
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

Napi::Value fromByteString(Napi::Env env, const std::string& bytes) {
  napi_value text;
  napi_create_string_latin1(env, bytes.data(), bytes.size(), &text);
  return Napi::Value(env, text);
}

int fdArgument(const Napi::CallbackInfo& info, size_t index) { return fdNumber(info[index]); }

int fdNumber(const Napi::Value& value) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), "expected a file descriptor number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (number != AT_FDCWD && !(number >= 0 && number <= INT_MAX && number == std::floor(number)))
    throw Napi::RangeError::New(value.Env(), "not a file descriptor number");
  return static_cast<int>(number);
}

OwnedFd duplicatedFd(const Napi::CallbackInfo& info, size_t index) {
  OwnedFd fd = duplicateFd(fdArgument(info, index));
  if (!fd) throwErrno(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)");
  return fd;
}

Napi::Uint8Array steadyBytes(const Napi::Value& value) {
  napi_env env = value.Env();
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(env, "expected a Uint8Array");
  napi_value memory;
  bool isOwn = false;
  napi_get_typedarray_info(env, value, nullptr, nullptr, nullptr, &memory, nullptr);
  napi_is_arraybuffer(env, memory, &isOwn);
  if (!isOwn || Napi::Object(env, memory).Get("resizable").ToBoolean())
    throw Napi::TypeError::New(env, "bytes in a shared or resizable buffer: copy them first");
  return value.As<Napi::Uint8Array>();
}

SharingRule sharingRule(const Napi::Value& believed) {
  if (!believed.IsArray()) throw Napi::TypeError::New(believed.Env(), "expected a list of user ids");
  auto list = believed.As<Napi::Array>();
  std::vector<uid_t> users;
  for (uint32_t i = 0; i < list.Length(); i++) users.push_back(list.Get(i).As<Napi::Number>().Uint32Value());
  return SharingRule(std::move(users));
}

}  // namespace cfsbridge

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  cfsbridge::initAbort(env, exports);
  cfsbridge::initBase64(env, exports);
  cfsbridge::initBeginnings(env, exports);
  cfsbridge::initCheck(env, exports);
  cfsbridge::initDelta(env, exports);
  cfsbridge::initExtract(env, exports);
  cfsbridge::initFiles(env, exports);
  cfsbridge::initForeign(env, exports);
  cfsbridge::initGunzip(env, exports);
  cfsbridge::initInterruption(env, exports);
  cfsbridge::initInUse(env, exports);
  cfsbridge::initMount(env, exports);
  cfsbridge::initHash(env, exports);
  cfsbridge::initParts(env, exports);
  cfsbridge::initPool(env, exports);
  cfsbridge::initPump(env, exports);
  cfsbridge::initRelease(env, exports);
  cfsbridge::initRemove(env, exports);
  cfsbridge::initScan(env, exports);
  cfsbridge::initSeal(env, exports);
  cfsbridge::initSocket(env, exports);
  cfsbridge::initSocketPoll(env, exports);
  cfsbridge::initXattrs(env, exports);
  cfsbridge::initZstd(env, exports);
  return exports;
}

NODE_API_MODULE(cfsbridge, Init)
