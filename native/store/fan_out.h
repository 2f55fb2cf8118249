// A folder of objects with its 256 folders 00 to ff. Each is opened once and kept: none is reached by a path, which the
// owner of the repository could have lead elsewhere through a symlink, and none is looked up again for every object.
#pragma once
#include <array>
#include <atomic>
#include <string>

#include "base/owned_fd.h"

namespace cfsbridge {

class FanOut {
 public:
  explicit FanOut(int folder);
  FanOut(const FanOut&) = delete;
  ~FanOut() { close(); }
  // Nothing may be under way.
  void close();

  // The folder of all of them; -1 when there is none.
  int get() const { return folder_.get(); }
  explicit operator bool() const { return static_cast<bool>(folder_); }

  // The folder for an object, whose name is "ab/cdef…"; -1 when it is not there. Throws when something else is.
  int of(const std::string& name);
  // The same, made where it is missing.
  int made(const std::string& name);
  // Whether it was removed since it was opened; then it is opened again by the next call.
  bool forgetRemoved(const std::string& name);
  // What an object is called in its folder.
  static const char* rest(const std::string& name) { return name.c_str() + 3; }
  // Opens an object for reading; empty, with errno, when it cannot be.
  OwnedFd open(const std::string& name);

 private:
  OwnedFd folder_;
  std::array<std::atomic<int>, 256> folders_;
};

}  // namespace cfsbridge
