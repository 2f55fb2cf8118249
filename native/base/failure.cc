#include "base/failure.h"

#include <cstring>

namespace cfsbridge {

const char* errnoName(int error) {
  const char* name = strerrorname_np(error);
  return name ? name : "EUNKNOWN";
}

std::string describeErrno(int error) { return std::string(errnoName(error)) + ": " + strerror(error); }

void failErrno(int error, const std::string& what) {
  throw StoreError{errnoName(error), what + ": " + strerror(error)};
}

void fail(const char* code, const std::string& message) { throw StoreError{code, message}; }

void FirstFailure::keep() noexcept {
  std::lock_guard lock(mutex_);
  if (!exception_) exception_ = std::current_exception();
  happened_ = true;
}

}  // namespace cfsbridge
