// Scheduling: what of a layer can be done next, and what happens when something fails.
#include "ingest.h"

#include <algorithm>

namespace cfsbridge {

Ingest::Ingest(std::shared_ptr<ObjectStore> store, TakePolicy policy, BatchDone done)
    : store_(std::move(store)), policy_(policy), done_(std::move(done)) {}

void Ingest::submit(std::shared_ptr<Batch> batch) {
  Pool& pool = Pool::shared();
  {
    // One critical section: a thread that finds a layer without batches drops it from the list.
    std::lock_guard lock(pool.mutex);
    pool.addLocked(shared_from_this());
    for (const Item& item : batch->items) due_ += item.size;
    batches_.push_back(std::move(batch));
    settle();
  }
  pool.wake();
}

void Ingest::abort(StoreError reason) {
  Pool& pool = Pool::shared();
  std::lock_guard lock(pool.mutex);
  failLocked(std::move(reason), nullptr, -1);
  settle();
}

void Ingest::failLocked(StoreError error, Batch* batch, int64_t file) {
  if (failure_) return;
  failure_ = std::move(error);
  if (batch) batch->failedFile = file;
}

Batch* Ingest::drainHead() {
  while (drainBatch_ < batches_.size() && batches_[drainBatch_]->drained == batches_[drainBatch_]->items.size()) drainBatch_++;
  return drainBatch_ < batches_.size() ? batches_[drainBatch_].get() : nullptr;
}

bool Ingest::drainable() {
  const Batch* batch = drainHead();
  if (!batch) return false;
  const Item& item = batch->items[batch->drained];
  if (!item.isFile()) return true;
  if (!item.large) return item.ready;
  return !open_ || open_->pieces.size() < kPiecesAhead;
}

bool Ingest::headOfLine(const Batch& batch, size_t item) {
  if (drainHead() != &batch) return false;
  for (size_t i = batch.drained; i < item; i++)
    if (batch.items[i].isFile()) return false;
  return true;
}

// Completes whatever can be completed: batches in order, or all of them after a failure. After a failure nothing is
// reported before the last running job has let go of its batch.
void Ingest::settle() {
  if (failure_) {
    if (running_ > 0) return;
    while (!batches_.empty()) {
      std::shared_ptr<Batch> batch = std::move(batches_.front());
      batches_.pop_front();
      for (Item& item : batch->items) {
        item.buffer.reset();
        item.fd.reset();
      }
      done_(std::move(batch), failure_);
    }
    data_.reset();
    open_.reset();
    large_.clear();
    return;
  }
  while (!batches_.empty() && batches_.front()->drained == batches_.front()->items.size() && batches_.front()->unstored == 0) {
    std::shared_ptr<Batch> batch = std::move(batches_.front());
    batches_.pop_front();
    if (drainBatch_ > 0) drainBatch_--;
    done_(std::move(batch), std::nullopt);
  }
}

// Whether the ordered hash could go on, or waits for a large file's own.
bool Ingest::urgent() {
  if (failure_) return false;
  if (!draining_ && drainable()) return true;
  return std::any_of(large_.begin(), large_.end(), [](const auto& file) { return !file->hashing && !file->pieces.empty(); });
}

std::function<void()> Ingest::takeJob() {
  if (failure_) return nullptr;
  auto self = shared_from_this();
  if (!draining_ && drainable()) {
    draining_ = true;
    running_++;
    return [self] { self->runDrain(); };
  }
  for (auto& file : large_) {
    if (file->hashing || file->pieces.empty()) continue;
    file->hashing = true;
    running_++;
    return [self, file] { self->runLarge(file); };
  }
  for (auto& batch : batches_) {
    auto& items = batch->items;
    while (batch->started < items.size() && (!items[batch->started].isFile() || items[batch->started].large)) batch->started++;
    if (batch->started == items.size()) continue;
    size_t first = batch->started;
    Group group{batch, {}, 0, nullptr};
    size_t next = first;
    for (; next < items.size() && group.items.size() < kGroupFiles; next++) {
      const Item& item = items[next];
      if (!item.isFile()) continue;
      if (item.large || (!group.items.empty() && group.bytes + item.size > kGroupBytes)) break;
      group.items.push_back(next);
      if (item.kind != Item::Kind::Memory) group.bytes += item.size;
    }
    if (group.bytes > 0) {
      group.buffer = Pool::shared().block(headOfLine(*batch, first));
      if (!group.buffer) return nullptr;
    }
    batch->started = next;
    running_++;
    return [self, group = std::move(group)]() mutable { self->runGroup(std::move(group)); };
  }
  return nullptr;
}

Pool& Pool::shared() {
  static Pool pool;
  return pool;
}

Pool::Pool() : count_(std::clamp(std::thread::hardware_concurrency(), 2u, 16u)) {}
Pool::~Pool() { stop(); }

void Pool::start() {
  if (!threads_.empty()) return;
  stop_ = false;
  for (unsigned i = 0; i < count_; i++) threads_.emplace_back([this] { work(); });
}

void Pool::stop() {
  {
    std::lock_guard lock(mutex);
    stop_ = true;
    for (auto& ingest : ingests_) ingest->failLocked({"ABORTED", "the process is ending"}, nullptr, -1);
  }
  wake();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void Pool::addLocked(std::shared_ptr<Ingest> ingest) {
  start();
  if (std::find(ingests_.begin(), ingests_.end(), ingest) == ingests_.end()) ingests_.push_back(std::move(ingest));
}

std::shared_ptr<uint8_t[]> Pool::block(bool urgent) {
  std::lock_guard lock(blockMutex_);
  if (blocksOut_ >= kBlocksPerThread * count_ && !urgent) return nullptr;
  std::unique_ptr<uint8_t[]> block;
  if (freeBlocks_.empty()) {
    block.reset(new uint8_t[kGroupBytes]);
  } else {
    block = std::move(freeBlocks_.back());
    freeBlocks_.pop_back();
  }
  blocksOut_++;
  return std::shared_ptr<uint8_t[]>(block.release(), [this](uint8_t* returned) {
    std::lock_guard lock(blockMutex_);
    blocksOut_--;
    freeBlocks_.emplace_back(returned);
  });
}

bool Pool::urgentBefore(const Ingest& ingest) {
  return std::any_of(ingests_.begin(), ingests_.end(), [&](const auto& other) { return other->due() > ingest.due() && other->urgent(); });
}

void Pool::work() {
  std::unique_lock lock(mutex);
  while (!stop_) {
    std::function<void()> job;
    ingests_.remove_if([](const auto& ingest) { return ingest->batches_.empty() && ingest->running_ == 0; });
    ingests_.sort([](const auto& a, const auto& b) { return a->due() > b->due(); });
    for (auto ingest = ingests_.begin(); ingest != ingests_.end() && !job; ++ingest) job = (*ingest)->takeJob();
    if (!job) {
      wake_.wait(lock);
      continue;
    }
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace cfsbridge
