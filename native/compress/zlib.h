// Node's own zlib, found at run time, since not every Node comes with its header; its interface has been the same since
// version 1.
#pragma once
#include <dlfcn.h>

#include <cstdint>

namespace cfsbridge {

// z_stream of zlib.h. inflateInit2_ is told its size, and refuses another one.
struct ZlibStream {
  const uint8_t* nextIn;
  unsigned availIn;
  unsigned long totalIn;
  uint8_t* nextOut;
  unsigned availOut;
  unsigned long totalOut;
  const char* message;
  void *state, *allocate, *release, *opaque;
  int dataType;
  unsigned long check, reserved;
};

constexpr const char* kZlibVersion = "1.2";  // only the first digit counts
constexpr int kNoFlush = 0;
constexpr int kOk = 0, kStreamEnd = 1, kBufferError = -5, kMemoryError = -4;

struct Zlib {
  template <typename Function>
  static Function* find(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
  }
  int (*const init)(ZlibStream*, int, const char*,
                    int) = find<int(ZlibStream*, int, const char*, int)>("inflateInit2_");
  int (*const inflate)(ZlibStream*, int) = find<int(ZlibStream*, int)>("inflate");
  int (*const reset)(ZlibStream*) = find<int(ZlibStream*)>("inflateReset");
  int (*const end)(ZlibStream*) = find<int(ZlibStream*)>("inflateEnd");

  bool found() const { return init && inflate && reset && end; }
  static const Zlib& get() {
    static const Zlib zlib;
    return zlib;
  }
};

}  // namespace cfsbridge
