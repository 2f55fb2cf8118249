// Readiness of sockets: one epoll thread per JavaScript environment tells it through a thread-safe function which
// sockets can be read or written. Only Node-API is used, so one binary serves all Node versions; and the event loop is
// held open only while something waits.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "base/addon.h"
#include "base/layouts.h"

namespace cfsbridge {
namespace {

constexpr int kEvents = 64;  // taken from the kernel at a time
constexpr useconds_t kMemoryPause = 10'000;
constexpr uint64_t kStop = 0;  // the token of the eventfd; sockets start at 1

struct Event {
  uint64_t token;
  uint32_t ready;
};

// What the thread has seen and JavaScript has not. A delivery may still be queued when the poller is gone.
struct Mailbox {
  std::mutex mutex;
  std::vector<Event> events;
};

// The environment may already be ending, and then nothing can be called and nobody waits: failures are ignored.
void deliver(Napi::Env env, Napi::Function callback, std::shared_ptr<Mailbox>* mailbox, void*) {
  if (!static_cast<napi_env>(env)) return;
  std::vector<Event> events;
  {
    std::lock_guard guard((*mailbox)->mutex);
    events.swap((*mailbox)->events);
  }
  napi_value flat, undefined, value;
  if (napi_create_array_with_length(env, events.size() * 2, &flat) != napi_ok) return;
  for (uint32_t i = 0; i < events.size(); i++) {
    if (napi_create_double(env, static_cast<double>(events[i].token), &value) != napi_ok) return;
    if (napi_set_element(env, flat, 2 * i, value) != napi_ok) return;
    if (napi_create_uint32(env, events[i].ready, &value) != napi_ok) return;
    if (napi_set_element(env, flat, 2 * i + 1, value) != napi_ok) return;
  }
  if (napi_get_undefined(env, &undefined) == napi_ok) napi_call_function(env, undefined, callback, 1, &flat, nullptr);
}
using Notify = Napi::TypedThreadSafeFunction<std::shared_ptr<Mailbox>, void, deliver>;

class Poller {
 public:
  Poller(Napi::Env env, Napi::Function callback)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = kStop;
    if (!epoll_ || !stop_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) < 0)
      throwErrno(env, errno, "epoll_create1");
    auto context = std::make_unique<std::shared_ptr<Mailbox>>(mailbox_);
    notify_ = Notify::New(
        env, callback, "cfsbridge-poll", 0, 1, context.get(),
        [](Napi::Env, void*, std::shared_ptr<Mailbox>* mailbox) { delete mailbox; }, static_cast<void*>(nullptr));
    context.release();
    notify_.Unref(env);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (...) {
      notify_.Release();
      throw;
    }
  }

  ~Poller() {
    stopping_ = true;
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }

  // One event is reported, then the socket stays silent until it is armed again.
  void arm(Napi::Env env, int fd, uint64_t token, uint32_t interest) {
    epoll_event event = {};
    event.events =
        EPOLLONESHOT | (interest & kInterestRead ? EPOLLIN : 0u) | (interest & kInterestWrite ? EPOLLOUT : 0u);
    event.data.u64 = token;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return;
    if (errno != ENOENT || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) throwErrno(env, errno, "epoll_ctl");
  }

  // Needed before closing: a copy of the socket in another process would keep the registration alive.
  void forget(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

  void hold(Napi::Env env, bool hold) {
    if (hold)
      notify_.Ref(env);
    else
      notify_.Unref(env);
  }

 private:
  void run() {
    epoll_event events[kEvents];
    while (!stopping_) {
      const int count = epoll_wait(epoll_.get(), events, kEvents, -1);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) break;
      // What was seen is not seen again, so it is kept however long there is no memory for it.
      while (!keep(events, count) && !stopping_) usleep(kMemoryPause);
    }
    notify_.Release();
  }

  // Puts events into the mailbox; false when there is no memory for them.
  bool keep(const epoll_event* events, int count) {
    std::unique_lock guard(mailbox_->mutex);
    const bool wasEmpty = mailbox_->events.empty();
    try {
      // Growing by halves at least, as push_back would.
      const size_t needed = mailbox_->events.size() + static_cast<size_t>(count);
      if (needed > mailbox_->events.capacity()) mailbox_->events.reserve(needed + needed / 2);
    } catch (const std::bad_alloc&) {
      return false;
    }
    for (int i = 0; i < count; i++) {
      if (events[i].data.u64 == kStop) continue;
      const uint32_t bits = events[i].events;
      const bool broken = bits & (EPOLLHUP | EPOLLERR);
      uint32_t ready = 0;
      if (bits & EPOLLIN || broken) ready |= kInterestRead;
      if (bits & EPOLLOUT || broken) ready |= kInterestWrite;
      mailbox_->events.push_back({events[i].data.u64, ready});
    }
    const bool isNews = wasEmpty && !mailbox_->events.empty();
    guard.unlock();
    if (isNews) notify_.NonBlockingCall();
    return true;
  }

  const OwnedFd epoll_, stop_;
  std::atomic<bool> stopping_{false};
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  Notify notify_;
  std::thread thread_;
};

Poller& pollerOf(const Napi::CallbackInfo& info) { return *static_cast<std::unique_ptr<Poller>*>(info.Data())->get(); }

Napi::Value PollStart(const Napi::CallbackInfo& info) {
  auto* slot = static_cast<std::unique_ptr<Poller>*>(info.Data());
  if (!*slot) {
    *slot = std::make_unique<Poller>(info.Env(), info[0].As<Napi::Function>());
    // Hooks run last in, first out: the thread is gone before the function it calls is taken down.
    info.Env().AddCleanupHook([slot] { slot->reset(); });
  }
  return info.Env().Undefined();
}

Napi::Value PollArm(const Napi::CallbackInfo& info) {
  pollerOf(info).arm(info.Env(), fdArgument(info, 0), static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value()),
                     info[2].As<Napi::Number>().Uint32Value());
  return info.Env().Undefined();
}

Napi::Value PollForget(const Napi::CallbackInfo& info) {
  pollerOf(info).forget(fdArgument(info, 0));
  return info.Env().Undefined();
}

Napi::Value PollHold(const Napi::CallbackInfo& info) {
  pollerOf(info).hold(info.Env(), info[0].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

}  // namespace

void initSocketPoll(Napi::Env env, Napi::Object exports) {
  auto* slot = new std::unique_ptr<Poller>();
  env.AddCleanupHook([slot] { delete slot; });
  addFunction<PollStart>(exports, "pollStart", slot);
  addFunction<PollArm>(exports, "pollArm", slot);
  addFunction<PollForget>(exports, "pollForget", slot);
  addFunction<PollHold>(exports, "pollHold", slot);
}

}  // namespace cfsbridge
