// What goes wrong in native code, away from JavaScript. Whatever is thrown there becomes an error of JavaScript's with
// a `code`: see base/promise_job.h.
#pragma once
#include <atomic>
#include <exception>
#include <mutex>
#include <string>

namespace cfsbridge {

// What went wrong with one file; `code` is errno's name or one of ours.
struct StoreError {
  std::string code;
  std::string message;
};

// A system call that failed. JavaScript's error has `errno`, `code` and `syscall`, like those of Node's own fs.
struct SystemError {
  int error;
  const char* syscall;
  std::string path;
};

[[noreturn]] void failErrno(int error, const std::string& what);
[[noreturn]] void fail(const char* code, const std::string& message);

// "ENOENT: No such file or directory"
std::string describeErrno(int error);
// "ENOENT"
const char* errnoName(int error);

// The first exception of several threads that work on the same thing. Keeping one needs no memory.
class FirstFailure {
 public:
  // The exception that is being handled.
  void keep() noexcept;
  bool happened() const { return happened_.load(std::memory_order_relaxed); }
  // Once all threads have ended.
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic<bool> happened_{false};
  std::mutex mutex_;
  std::exception_ptr exception_;
};

}  // namespace cfsbridge
