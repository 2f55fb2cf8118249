// Asking whether somebody uses a file.
#include <fcntl.h>
#include <signal.h>

#include "base/addon.h"

namespace cfsbridge {
namespace {

// Whether anybody else has the file open: processes, mounts backed by it, loop devices. The kernel grants a write lease
// to the only user of a file. Undefined when it does not say: no owner's rights, or a filesystem without leases.
Napi::Value InUse(const Napi::CallbackInfo& info) {
  int fd = fdArgument(info, 0);
  // Somebody who opens the file in the moment the lease lasts must not have us killed, which SIGIO would do.
  fcntl(fd, F_SETSIG, SIGURG);
  if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return Napi::Boolean::New(info.Env(), false);
  }
  if (errno == EAGAIN) return Napi::Boolean::New(info.Env(), true);
  return info.Env().Undefined();
}

}  // namespace

void initInUse(Napi::Env, Napi::Object exports) { addFunction<InUse>(exports, "inUse"); }

}  // namespace cfsbridge
