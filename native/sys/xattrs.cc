// Extended attributes by descriptor, also of symlinks, which only descriptors without access (O_PATH) stand for: the
// f…xattr calls refuse those, and the path of such a descriptor below /proc leads to the symlink itself.
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/addon.h"

namespace cfsbridge {
namespace {

std::string pathOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// Calls with growing room until all fits: somebody may change it meanwhile. Returns whether there is such a thing.
template <typename Read>
bool readAll(Napi::Env env, const char* syscall, std::string& bytes, Read read) {
  for (bytes.resize(256);;) {
    const ssize_t size = read(bytes.data(), bytes.size());
    if (size >= 0) {
      bytes.resize(size);
      return true;
    }
    if (errno == ENODATA || errno == EOPNOTSUPP) return false;
    if (errno != ERANGE || bytes.size() > (1 << 20)) throwErrno(env, errno, syscall);
    bytes.resize(bytes.size() * 16);
  }
}

bool readValue(Napi::Env env, int fd, const char* name, std::string& value) {
  return readAll(env, "getxattr", value, [&](char* to, size_t room) {
    const ssize_t size = fgetxattr(fd, name, to, room);
    return size < 0 && errno == EBADF ? getxattr(pathOf(fd).c_str(), name, to, room) : size;
  });
}

// Names and values, one after the other.
Napi::Value ListXattrs(const Napi::CallbackInfo& info) {
  const int fd = fdArgument(info, 0);
  std::string names;
  Napi::Array list = Napi::Array::New(info.Env());
  if (!readAll(info.Env(), "listxattr", names, [&](char* to, size_t room) {
        const ssize_t size = flistxattr(fd, to, room);
        return size < 0 && errno == EBADF ? listxattr(pathOf(fd).c_str(), to, room) : size;
      }))
    return list;
  uint32_t count = 0;
  std::string value;
  for (size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (!readValue(info.Env(), fd, name.c_str(), value)) continue;
    list.Set(count++, fromByteString(info.Env(), name));
    list.Set(count++, fromByteString(info.Env(), value));
  }
  return list;
}

// The value, or undefined.
Napi::Value GetXattr(const Napi::CallbackInfo& info) {
  const int fd = fdArgument(info, 0);
  const std::string name = byteString(info[1]);
  std::string value;
  if (!readValue(info.Env(), fd, name.c_str(), value)) return info.Env().Undefined();
  return Napi::Buffer<char>::Copy(info.Env(), value.data(), value.size());
}

Napi::Value SetXattr(const Napi::CallbackInfo& info) {
  const int fd = fdArgument(info, 0);
  const std::string name = byteString(info[1]);
  const Napi::Uint8Array value = steadyBytes(info[2]);
  int failed = fsetxattr(fd, name.c_str(), value.Data(), value.ByteLength(), 0);
  if (failed != 0 && errno == EBADF)
    failed = setxattr(pathOf(fd).c_str(), name.c_str(), value.Data(), value.ByteLength(), 0);
  if (failed != 0) throwErrno(info.Env(), errno, "setxattr", name);
  return info.Env().Undefined();
}

}  // namespace

void initXattrs(Napi::Env, Napi::Object exports) {
  addFunction<ListXattrs>(exports, "listXattrs");
  addFunction<GetXattr>(exports, "getXattr");
  addFunction<SetXattr>(exports, "setXattr");
}

}  // namespace cfsbridge
