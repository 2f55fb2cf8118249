// Readiness of sockets: one epoll thread per JavaScript environment tells it through a thread-safe function which
// sockets can be read or written. Only Node-API is used, so one binary serves all Node versions; and the event loop is
// held open only while something waits.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "addon.h"

namespace cfsbridge {
namespace {

constexpr uint32_t kRead = 1, kWrite = 2;
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
void deliver(napi_env env, napi_value callback, Mailbox& mailbox) {
  std::vector<Event> events;
  {
    std::lock_guard guard(mailbox.mutex);
    events.swap(mailbox.events);
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

class Poller {
 public:
  Poller(Napi::Env env, Napi::Function callback)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = kStop;
    if (epoll_ < 0 || stop_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, stop_, &event) < 0) {
      int error = errno;
      closeAll();
      throwErrno(env, error, "epoll_create1");
    }
    notify_ = Napi::ThreadSafeFunction::New(env, callback, "cfsbridge-poll", 0, 1);
    notify_.Unref(env);
    thread_ = std::thread([this] { run(); });
  }

  ~Poller() {
    eventfd_write(stop_, 1);
    thread_.join();
    closeAll();
  }

  // One event is reported, then the socket stays silent until it is armed again.
  void arm(Napi::Env env, int fd, uint64_t token, uint32_t interest) {
    epoll_event event = {};
    event.events = EPOLLONESHOT | (interest & kRead ? EPOLLIN : 0u) | (interest & kWrite ? EPOLLOUT : 0u);
    event.data.u64 = token;
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0) return;
    if (errno != ENOENT || epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) throwErrno(env, errno, "epoll_ctl");
  }

  // Needed before closing: a copy of the socket in another process would keep the registration alive.
  void forget(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

  void hold(Napi::Env env, bool hold) {
    if (hold) notify_.Ref(env);
    else notify_.Unref(env);
  }

 private:
  void run() {
    epoll_event events[64];
    for (;;) {
      int count = epoll_wait(epoll_, events, 64, -1);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) break;
      bool wasEmpty;
      {
        std::lock_guard guard(mailbox_->mutex);
        wasEmpty = mailbox_->events.empty();
        for (int i = 0; i < count; i++) {
          if (events[i].data.u64 == kStop) {
            notify_.Release();
            return;
          }
          uint32_t bits = events[i].events;
          bool broken = bits & (EPOLLHUP | EPOLLERR);
          uint32_t ready = (bits & EPOLLIN || broken ? kRead : 0) | (bits & EPOLLOUT || broken ? kWrite : 0);
          mailbox_->events.push_back({events[i].data.u64, ready});
        }
      }
      if (wasEmpty) notify_.NonBlockingCall([box = mailbox_](Napi::Env env, Napi::Function callback) { deliver(env, callback, *box); });
    }
    notify_.Release();
  }

  void closeAll() {
    if (epoll_ >= 0) close(epoll_);
    if (stop_ >= 0) close(stop_);
  }

  int epoll_, stop_;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  Napi::ThreadSafeFunction notify_;
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
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name, slot));
  };
  add("pollStart", PollStart);
  add("pollArm", PollArm);
  add("pollForget", PollForget);
  add("pollHold", PollHold);
}

}  // namespace cfsbridge
