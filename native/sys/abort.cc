// The runtime aborts when it cannot go on: a write that wakes one of its own threads failed, or memory ran out.
#include <signal.h>
#include <unistd.h>

#include "base/addon.h"

namespace cfsbridge {
namespace {

void onAbort(int) {
  static const char message[] =
      "Error: the runtime cannot go on, as memory ran out or a write between its threads failed; what was stored is "
      "whole, run the command again\n";
  if (write(STDERR_FILENO, message, sizeof message - 1)) {
  }
  _exit(1);
}

// endRatherThanAbort(): for programs of our own, whose callers expect a status and no core dump.
Napi::Value EndRatherThanAbort(const Napi::CallbackInfo& info) {
  struct sigaction action = {};
  action.sa_handler = onAbort;
  if (sigaction(SIGABRT, &action, nullptr) < 0) throwErrno(info.Env(), errno, "sigaction");
  return info.Env().Undefined();
}

}  // namespace

void initAbort(Napi::Env, Napi::Object exports) { addFunction<EndRatherThanAbort>(exports, "endRatherThanAbort"); }

}  // namespace cfsbridge
