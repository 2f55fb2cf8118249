#include "base/threads.h"

#include <thread>
#include <vector>

namespace cfsbridge {
namespace {

struct Helpers {
  std::vector<std::thread> threads;
  ~Helpers() {
    for (std::thread& thread : threads) thread.join();
  }
};

}  // namespace

void runOnThreads(unsigned count, const std::function<void()>& work) {
  Helpers helpers;
  try {
    helpers.threads.reserve(count);
    for (unsigned i = 1; i < count; i++) helpers.threads.emplace_back([&work] { work(); });
  } catch (...) {
    // The user's limit of threads, or of memory: those that are there do it all.
  }
  work();
}

}  // namespace cfsbridge
