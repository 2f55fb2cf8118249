#include "ingest/pool.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/file_io.h"

namespace cfsbridge {
namespace {

// The worker outlives its thread's work. With a destructor, this would take memory that cannot be refused.
thread_local Worker* current = nullptr;

}  // namespace

// Never destroyed: a thread that was given up may come back while the process ends.
Pool& Pool::shared() {
  static Pool& pool = *new Pool();
  return pool;
}

Pool::Pool() : count_(std::clamp(std::thread::hardware_concurrency(), 2u, 16u)) {}

std::shared_ptr<Worker> Pool::currentWorker() { return current->shared_from_this(); }

// As many threads as there should be, or can be.
void Pool::start() noexcept {
  while (workers_.size() < count_ && addWorker()) {
  }
}

bool Pool::addWorker() noexcept {
  try {
    workers_.reserve(workers_.size() + 1);
    auto worker = std::make_shared<Worker>();
    worker->thread = std::thread([this, worker] {
      current = worker.get();
      work(*worker);
    });
    workers_.push_back(std::move(worker));
    return true;
  } catch (...) {
    return false;
  }
}

void Pool::loseLocked(SourceRead& reading) {
  reading.lost = true;
  reading.worker->lost = true;
  reading.worker->thread.detach();
  std::erase(workers_, reading.worker);
  lostWorkers_++;
  start();
  if (!workers_.empty()) return;
  // Nobody is left to do anything.
  const auto reason = std::make_exception_ptr(std::system_error(EAGAIN, std::generic_category()));
  for (auto& ingest : ingests_) ingest->giveUp(reason);
}

void Pool::stop() {
  std::vector<std::shared_ptr<Worker>> workers;
  {
    const auto lock = this->lock();
    stop_ = true;
    const auto reason = std::make_exception_ptr(StoreError{"ABORTED", "the process is ending"});
    for (auto& ingest : ingests_) ingest->fail(reason);
    workers.swap(workers_);
  }
  wake();
  for (auto& worker : workers) worker->thread.join();
}

void Pool::addLocked(std::shared_ptr<Ingest> ingest) {
  stop_ = false;
  start();
  if (workers_.empty()) throw std::system_error(EAGAIN, std::generic_category());
  if (std::find(ingests_.begin(), ingests_.end(), ingest) == ingests_.end()) ingests_.push_back(std::move(ingest));
}

std::shared_ptr<uint8_t[]> Pool::block(bool urgent) {
  std::unique_ptr<uint8_t[]> block;
  {
    std::lock_guard lock(blockMutex_);
    if (blocksOut_ >= kBlocksPerThread * (count_ + lostWorkers_) && !urgent) return nullptr;
    // So that each can come back without taking memory.
    const size_t blocks = freeBlocks_.size() + blocksOut_ + 1;
    if (freeBlocks_.capacity() < blocks) freeBlocks_.reserve(2 * blocks);
    if (freeBlocks_.empty()) {
      block.reset(new uint8_t[kGroupBytes]);
    } else {
      block = std::move(freeBlocks_.back());
      freeBlocks_.pop_back();
    }
    blocksOut_++;
  }
  return std::shared_ptr<uint8_t[]>(block.release(), [this](uint8_t* returned) {
    std::lock_guard lock(blockMutex_);
    blocksOut_--;
    freeBlocks_.emplace_back(returned);
  });
}

bool Pool::urgentBefore(const Ingest& ingest) {
  return std::any_of(ingests_.begin(), ingests_.end(),
                     [&](const auto& other) { return other->due() > ingest.due() && other->urgent(); });
}

// The first that any layer has, in their order.
Job Pool::nextJob() {
  ingests_.remove_if([](const auto& ingest) { return ingest->idle(); });
  ingests_.sort([](const auto& a, const auto& b) { return a->due() > b->due(); });
  for (auto& ingest : ingests_) {
    try {
      if (Job job = ingest->takeJob()) return job;
    } catch (...) {
      ingest->giveUp(std::current_exception());
    }
  }
  return {};
}

void Pool::work(const Worker& self) {
  auto lock = this->lock();
  while (!stop_ && !self.lost) {
    Job job = nextJob();
    if (!job) {
      // Nobody tells when a lease has been given back.
      if (std::any_of(ingests_.begin(), ingests_.end(), [](const auto& ingest) { return ingest->waitsForLease(); }))
        wake_.wait_for(lock, kLeasePause);
      else
        wake_.wait(lock);
      continue;
    }
    lock.unlock();
    // What the job holds, perhaps the last of the layer, goes before the lock is taken again.
    Ingest& ingest = *job.ingest;
    ingest.run(std::move(job));
    lock.lock();
  }
  if (self.lost) lostWorkers_--;
}

}  // namespace cfsbridge
