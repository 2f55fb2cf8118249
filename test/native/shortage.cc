// Preloaded by shortage.test.ts: the addon's allocations fail, or its starts of threads.
//
// The program sets environment variables, which are calls that are caught here: SHORTAGE is "memory N" (the N-th
// allocation from now on fails), "memory N lasting" (that one and all after it), the same with "threads", or ""
// (nothing fails any more). SHORTAGE_MET tells how many have failed. Only the addon's own are counted: those that its
// code asks for, and on threads other than the first, which runs Node as well, those that the C++ and C libraries ask
// for after it was there.
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <new>

extern "C" void* __libc_malloc(size_t size);
extern "C" void* __libc_memalign(size_t alignment, size_t size);

namespace {

struct Supply {
  std::atomic<long> left{-1};  // until one fails; below: none does
  std::atomic<bool> lasting{false};

  bool refused() {
    if (left.load() < 0) return false;
    if (left.fetch_sub(1) > 0) return false;
    if (lasting) left = 0;
    return true;
  }
};
Supply memory, threads;
std::atomic<long> met{0};
thread_local bool runsAddon = false;

struct Range {
  const char* name;
  std::atomic<uintptr_t> start{0}, end{0};
  bool has(const void* address) const {
    const auto number = reinterpret_cast<uintptr_t>(address);
    return number >= start && number < end;
  }
};
Range addon{"/cfsbridge.node"}, standard{"/libstdc++.so"}, c{"/libc.so"};

int learn(dl_phdr_info* info, size_t, void*) {
  for (Range* range : {&addon, &standard, &c}) {
    if (!strstr(info->dlpi_name, range->name)) continue;
    for (int i = 0; i < info->dlpi_phnum; i++) {
      const auto& header = info->dlpi_phdr[i];
      if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
      range->start = info->dlpi_addr + header.p_vaddr;
      range->end = info->dlpi_addr + header.p_vaddr + header.p_memsz;
    }
  }
  return 0;
}

bool noMemory(const void* caller) {
  if (memory.left.load() < 0 && !addon.has(caller)) return false;
  if (addon.has(caller))
    runsAddon = true;
  else if (!runsAddon || syscall(SYS_gettid) == getpid() || !(standard.has(caller) || c.has(caller)))
    return false;
  if (!memory.refused()) return false;
  met++;
  return true;
}

void* allocate(size_t size, size_t alignment, const void* caller) {
  void* got = noMemory(caller) ? nullptr
              : alignment      ? __libc_memalign(alignment, size)
                               : __libc_malloc(size ? size : 1);
  if (!got) throw std::bad_alloc();
  return got;
}

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

void* operator new(size_t size) { return allocate(size, 0, __builtin_return_address(0)); }
void* operator new[](size_t size) { return allocate(size, 0, __builtin_return_address(0)); }
void* operator new(size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<size_t>(alignment), __builtin_return_address(0));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<size_t>(alignment), __builtin_return_address(0));
}

extern "C" {

void* malloc(size_t size) {
  if (!noMemory(__builtin_return_address(0))) return __libc_malloc(size);
  errno = ENOMEM;
  return nullptr;
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  static const auto create = real<decltype(&pthread_create)>("pthread_create");
  // Nobody else here has std::thread.
  if (standard.has(__builtin_return_address(0)) && threads.refused()) {
    met++;
    return EAGAIN;
  }
  return create(thread, attributes, start, argument);
}

int setenv(const char* name, const char* value, int overwrite) {
  static const auto set = real<decltype(&setenv)>("setenv");
  if (strcmp(name, "SHORTAGE") != 0) return set(name, value, overwrite);
  memory.left = threads.left = -1;
  char what[16] = "", lasting[16] = "";
  long count = 0;
  if (sscanf(value, "%15s %ld %15s", what, &count, lasting) < 2) return 0;
  dl_iterate_phdr(learn, nullptr);
  met = 0;
  Supply& supply = strcmp(what, "memory") == 0 ? memory : threads;
  supply.lasting = *lasting != '\0';
  supply.left = count;
  return 0;
}

char* getenv(const char* name) {
  static const auto get = real<decltype(&getenv)>("getenv");
  static char text[32];
  if (strcmp(name, "SHORTAGE_MET") != 0) return get(name);
  snprintf(text, sizeof text, "%ld", met.load());
  return text;
}

}  // extern "C"
