// The mount API of Linux 5.2: a filesystem is configured and mounted through descriptors, and only its
// attachment needs a path. One function per call.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/addon.h"

namespace cfsbridge {
namespace {

constexpr unsigned kFsopenCloexec = 1, kFsmountCloexec = 1, kMountAttrReadOnly = 1, kMountAttrNosuidNodev = 2 | 4;
constexpr unsigned kFsconfigSetFlag = 0, kFsconfigSetString = 1, kFsconfigCreate = 6;
constexpr uint64_t kMountAttrNoSuid = 2, kMountAttrNoDev = 4, kMountAttrIdmap = 0x100000;
constexpr long kMountSetattr = 442;  // the same on all architectures
constexpr unsigned kMoveMountFromFd = 4, kMoveMountToFd = 0x40;

// struct mount_attr, which older headers lack.
struct MountAttributes {
  uint64_t set, clear, propagation, userNamespace;
};

Napi::Value Fsopen(const Napi::CallbackInfo& info) {
  std::string type = byteString(info[0]);
  int fd = static_cast<int>(syscall(SYS_fsopen, type.c_str(), kFsopenCloexec));
  if (fd < 0) throwErrno(info.Env(), errno, "fsopen", type);
  return Napi::Number::New(info.Env(), fd);
}

// fsconfig(context, key, value or undefined for a flag)
Napi::Value Fsconfig(const Napi::CallbackInfo& info) {
  std::string key = byteString(info[1]), value = info[2].IsUndefined() ? "" : byteString(info[2]);
  unsigned command = info[2].IsUndefined() ? kFsconfigSetFlag : kFsconfigSetString;
  const char* text = info[2].IsUndefined() ? nullptr : value.c_str();
  if (syscall(SYS_fsconfig, fdArgument(info, 0), command, key.c_str(), text, 0) < 0)
    throwErrno(info.Env(), errno, "fsconfig", key);
  return info.Env().Undefined();
}

Napi::Value FsconfigCreate(const Napi::CallbackInfo& info) {
  if (syscall(SYS_fsconfig, fdArgument(info, 0), kFsconfigCreate, nullptr, nullptr, 0) < 0)
    throwErrno(info.Env(), errno, "fsconfig");
  return info.Env().Undefined();
}

// The kernel's messages about a filesystem context, oldest first; reading takes them out of it.
Napi::Value FsLog(const Napi::CallbackInfo& info) {
  Napi::Array lines = Napi::Array::New(info.Env());
  char message[1024];
  ssize_t length;
  while ((length = read(fdArgument(info, 0), message, sizeof message)) > 0)
    lines.Set(lines.Length(), Napi::String::New(info.Env(), message, static_cast<size_t>(length)));
  return lines;
}

Napi::Value Fsmount(const Napi::CallbackInfo& info) {
  unsigned attributes =
      (info[1].ToBoolean() ? kMountAttrReadOnly : 0) | (info[2].ToBoolean() ? kMountAttrNosuidNodev : 0);
  int fd = static_cast<int>(syscall(SYS_fsmount, fdArgument(info, 0), kFsmountCloexec, attributes));
  if (fd < 0) throwErrno(info.Env(), errno, "fsmount");
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value MoveMount(const Napi::CallbackInfo& info) {
  unsigned flags = kMoveMountFromFd | kMoveMountToFd;
  if (syscall(SYS_move_mount, fdArgument(info, 0), "", fdArgument(info, 1), "", flags) < 0)
    throwErrno(info.Env(), errno, "move_mount");
  return info.Env().Undefined();
}

// The files of a mount that is attached nowhere yet get the owners that a user namespace maps theirs to.
Napi::Value IdmapMount(const Napi::CallbackInfo& info) {
  MountAttributes attributes = {};
  attributes.set = kMountAttrIdmap;
  attributes.userNamespace = static_cast<uint64_t>(fdArgument(info, 1));
  if (syscall(kMountSetattr, fdArgument(info, 0), "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
    throwErrno(info.Env(), errno, "mount_setattr");
  return info.Env().Undefined();
}

// Nothing run from a mount that is attached nowhere yet gets another user's rights, and no device is opened there; nor
// is anything written, if so asked.
Napi::Value RestrictMount(const Napi::CallbackInfo& info) {
  MountAttributes attributes = {};
  attributes.set = kMountAttrNoSuid | kMountAttrNoDev | (info[1].As<Napi::Boolean>() ? kMountAttrReadOnly : 0);
  if (syscall(kMountSetattr, fdArgument(info, 0), "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
    throwErrno(info.Env(), errno, "mount_setattr");
  return info.Env().Undefined();
}

// Takes the mount away from its path now; it goes for good with its last user.
Napi::Value DetachMount(const Napi::CallbackInfo& info) {
  std::string path = byteString(info[0]);
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0) throwErrno(info.Env(), errno, "umount2", path);
  return info.Env().Undefined();
}

}  // namespace

void initMount(Napi::Env, Napi::Object exports) {
  addFunction<Fsopen>(exports, "fsopen");
  addFunction<Fsconfig>(exports, "fsconfig");
  addFunction<FsconfigCreate>(exports, "fsconfigCreate");
  addFunction<FsLog>(exports, "fsLog");
  addFunction<Fsmount>(exports, "fsmount");
  addFunction<MoveMount>(exports, "moveMount");
  addFunction<IdmapMount>(exports, "idmapMount");
  addFunction<RestrictMount>(exports, "restrictMount");
  addFunction<DetachMount>(exports, "detachMount");
}

}  // namespace cfsbridge
