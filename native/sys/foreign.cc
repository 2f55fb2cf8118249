// Descriptors of strangers. Any call on one may wait for whoever serves its filesystem, close(2) included, and for
// ever: so each is made on a thread that nobody waits for, until it is known that the filesystem is of this machine.
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "base/addon.h"

namespace cfsbridge {
namespace {

std::vector<int> numbersOf(const Napi::Value& value) {
  auto list = value.As<Napi::Array>();
  std::vector<int> numbers;
  for (uint32_t i = 0; i < list.Length(); i++) numbers.push_back(fdNumber(list.Get(i)));
  return numbers;
}

// Starts a thread that nobody waits for, and that tells about its work. Throws where there is no thread to be had.
template <typename Tell, typename Work>
void start(Tell& tell, Work work) {
  try {
    std::thread(std::move(work)).detach();
  } catch (...) {
    tell.Release();
    throw;
  }
}

// filesystemTypes() on its way to the other thread and back. It has all the memory that it takes.
struct Question {
  Napi::Promise::Deferred deferred;
  std::vector<int> numbers;
  std::vector<uint32_t> types;
};

void answer(Napi::Env env, Napi::Function, void*, Question* asked) {
  const std::unique_ptr<Question> question(asked);
  // The environment is ending, and nobody waits.
  if (!static_cast<napi_env>(env)) return;
  try {
    Napi::Array result = Napi::Array::New(env, question->types.size());
    for (uint32_t i = 0; i < question->types.size(); i++) result.Set(i, static_cast<double>(question->types[i]));
    question->deferred.Resolve(result);
  } catch (...) {
    question->deferred.Reject(errorOf(env, std::current_exception()).Value());
  }
}
using TellTypes = Napi::TypedThreadSafeFunction<void, Question, answer>;

// filesystemTypes(descriptors): f_type of each, or 0 where that cannot be told. They must stay open until the promise
// settles.
Napi::Value FilesystemTypes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto question = std::make_unique<Question>(Question{Napi::Promise::Deferred::New(env), numbersOf(info[0]), {}});
  question->types.resize(question->numbers.size());
  const Napi::Promise promise = question->deferred.Promise();
  TellTypes tell = TellTypes::New(env, "cfsbridge-foreign", 0, 1);
  // A thread that never comes back must not keep the process.
  tell.Unref(env);
  start(tell, [asked = question.get(), tell] {
    for (size_t i = 0; i < asked->numbers.size(); i++) {
      struct statfs fs;
      asked->types[i] = fstatfs(asked->numbers[i], &fs) == 0 ? static_cast<uint32_t>(fs.f_type) : 0;
    }
    if (tell.BlockingCall(asked) != napi_ok) delete asked;
    tell.Release();
  });
  question.release();
  return promise;
}

// What is told is the index, plus one: it needs no memory.
void closedOne(Napi::Env env, Napi::Function closed, void*, char* told) {
  if (!static_cast<napi_env>(env)) return;
  closed.Call({Napi::Number::New(env, static_cast<double>(reinterpret_cast<uintptr_t>(told) - 1))});
}
using TellClosed = Napi::TypedThreadSafeFunction<void, char, closedOne>;

// closeIfLocal(descriptors, types, closed): takes ownership. Those of other filesystems stay open: a close that waits
// for an answer could not even be killed, while the kernel does not wait where a process that ends leaves it open.
// `closed` is called with the index of each that was closed.
Napi::Value CloseIfLocal(const Napi::CallbackInfo& info) {
  std::vector<uint32_t> types;
  auto list = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) types.push_back(list.Get(i).As<Napi::Number>().Uint32Value());
  TellClosed tell = TellClosed::New(info.Env(), info[2].As<Napi::Function>(), "cfsbridge-foreign-closed", 0, 1);
  tell.Unref(info.Env());
  start(tell, [numbers = numbersOf(info[0]), types = std::move(types), tell] {
    for (size_t i = 0; i < numbers.size(); i++) {
      struct statfs fs;
      if (fstatfs(numbers[i], &fs) != 0 ||
          std::find(types.begin(), types.end(), static_cast<uint32_t>(fs.f_type)) == types.end())
        continue;
      close(numbers[i]);
      tell.NonBlockingCall(reinterpret_cast<char*>(static_cast<uintptr_t>(i + 1)));
    }
    tell.Release();
  });
  return info.Env().Undefined();
}

}  // namespace

void initForeign(Napi::Env, Napi::Object exports) {
  addFunction<FilesystemTypes>(exports, "filesystemTypes");
  addFunction<CloseIfLocal>(exports, "closeIfLocal");
}

}  // namespace cfsbridge
