// Calls on files of a source. One may never return: the file system behind a descriptor of a peer is whatever the peer
// has. A watcher of the layer sees from outside, without a lock for each file, that one of its jobs is in such a call
// and does not get on.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/failure.h"

namespace cfsbridge {

struct Batch;
struct Worker;

// What one job has to do with the source.
struct SourceRead {
  using Clock = std::chrono::steady_clock;

  std::shared_ptr<Worker> worker;  // whose thread the job is on
  std::atomic<uint64_t> step{0};   // odd while a call is under way
  std::atomic<bool> lost{false};   // nobody waits for the job any more
  // With the pool's mutex held, but for the job itself:
  std::shared_ptr<Batch> batch;
  std::atomic<int64_t> result{-1};  // index of the file in the batch
  uint64_t seenStep = 0;
  Clock::time_point seen{};

  // Since when the job has been seen in the same call; with the pool's mutex held.
  std::optional<Clock::time_point> stuckSince() {
    const uint64_t now = step.load(std::memory_order_relaxed);
    if (now == seenStep && now % 2 == 1) return seen;
    seenStep = now;
    seen = Clock::now();
    return std::nullopt;
  }
};

// The job that this thread is at, if it reads from a source.
inline thread_local SourceRead* sourceRead = nullptr;

class SourceCall {
 public:
  SourceCall() { step(); }
  ~SourceCall() { step(); }

 private:
  static void step() {
    if (!sourceRead) return;
    auto& counter = sourceRead->step;
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
};

// Makes calls on the source. Throws when they came back too late: the store may be closed by then.
template <typename Calls>
void fromSource(Calls&& calls) {
  {
    SourceCall call;
    calls();
  }
  if (sourceRead && sourceRead->lost.load(std::memory_order_relaxed)) fail("ABORTED", "the layer was given up");
}

}  // namespace cfsbridge
