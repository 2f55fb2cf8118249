// The threads that layers are taken in by. One lock guards all scheduling; jobs are coarse, so it is rarely contended.
#pragma once
#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ingest/ingest.h"

namespace cfsbridge {

constexpr size_t kBlocksPerThread = 3;  // groups read and not yet in their layer's ordered hash

// One thread of the pool.
struct Worker : std::enable_shared_from_this<Worker> {
  std::thread thread;
  bool lost = false;  // in a call that does not return; with the pool's mutex held
};

class Pool {
 public:
  static Pool& shared();
  // Ends all threads; batches that are not done fail.
  void stop();

  [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
  void wake() { wake_.notify_all(); }
  // The worker whose thread this is.
  static std::shared_ptr<Worker> currentWorker();

  // With the mutex held:
  // Throws where not even one thread can be started.
  void addLocked(std::shared_ptr<Ingest> ingest);
  // The thread that the job is on is not waited for any more, and replaced.
  void loseLocked(SourceRead& reading);
  // Whether a layer with more to hash in order has something to do.
  bool urgentBefore(const Ingest& ingest);

  // A block of kGroupBytes that comes back by itself; null when as many are out as there may be, unless `urgent`.
  std::shared_ptr<uint8_t[]> block(bool urgent);

 private:
  Pool();
  void start() noexcept;
  bool addWorker() noexcept;
  void work(const Worker& self);
  Job nextJob();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<std::shared_ptr<Ingest>> ingests_;
  const unsigned count_;  // of threads
  std::vector<std::shared_ptr<Worker>> workers_;
  std::atomic<size_t> lostWorkers_{0};  // whose threads have not come back
  std::mutex blockMutex_;
  std::vector<std::unique_ptr<uint8_t[]>> freeBlocks_;
  size_t blocksOut_ = 0;
  bool stop_ = false;
};

}  // namespace cfsbridge
