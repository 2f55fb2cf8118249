// Signals for a program whose JavaScript may be held up. Its handlers run between calls: while one of them does not
// return (a FIFO nobody writes to, a file system that does not answer), only SIGKILL would end it.
#include <signal.h>
#include <unistd.h>

#include "base/addon.h"

namespace cfsbridge {
namespace {

// Seconds JavaScript has to see a signal; it is never busy for that long with something of its own.
constexpr unsigned kPatience = 5;

volatile sig_atomic_t unseen = 0, seen = 0;
struct sigaction former[NSIG];

void onSignal(int number) {
  // A user who asks twice does not want to wait for what a thread may never finish.
  if (seen) _exit(128 + number);
  seen = 1;
  unseen = number;
  alarm(kPatience);
  former[number].sa_handler(number);
}

// With the status that the command ends with when JavaScript sees the signal.
void onAlarm(int) {
  if (unseen != 0) _exit(128 + unseen);
}

// endWhenHeldUp(number): for a signal that JavaScript has a handler for, which calls signalSeen.
Napi::Value EndWhenHeldUp(const Napi::CallbackInfo& info) {
  int number = info[0].As<Napi::Number>().Int32Value();
  struct sigaction now;
  if (sigaction(number, nullptr, &now) < 0) throwErrno(info.Env(), errno, "sigaction");
  if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN || now.sa_handler == onSignal)
    return info.Env().Undefined();
  former[number] = now;
  now.sa_handler = onSignal;
  struct sigaction timer = {};
  timer.sa_handler = onAlarm;
  if (sigaction(SIGALRM, &timer, nullptr) < 0 || sigaction(number, &now, nullptr) < 0)
    throwErrno(info.Env(), errno, "sigaction");
  return info.Env().Undefined();
}

Napi::Value SignalSeen(const Napi::CallbackInfo& info) {
  unseen = 0;
  alarm(0);
  return info.Env().Undefined();
}

// exitAtOnce(status): without waiting for any thread.
Napi::Value ExitAtOnce(const Napi::CallbackInfo& info) { _exit(info[0].As<Napi::Number>().Int32Value()); }

}  // namespace

void initInterruption(Napi::Env, Napi::Object exports) {
  addFunction<EndWhenHeldUp>(exports, "endWhenHeldUp");
  addFunction<ExitAtOnce>(exports, "exitAtOnce");
  addFunction<SignalSeen>(exports, "signalSeen");
}

}  // namespace cfsbridge
