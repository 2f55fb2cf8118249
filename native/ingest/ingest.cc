// Scheduling: what of a layer can be done next, and what happens when something fails.
#include "ingest/ingest.h"

#include <algorithm>
#include <thread>

#include "base/file_io.h"
#include "ingest/pool.h"

namespace cfsbridge {

Ingest::Ingest(std::shared_ptr<ObjectStore> store, TakePolicy policy, BatchDone done)
    : store_(std::move(store)), policy_(policy), done_(std::move(done)) {}

void Ingest::submit(std::shared_ptr<Batch> batch) {
  Pool& pool = Pool::shared();
  {
    // One critical section: a thread that finds a layer without batches drops it from the list.
    const auto lock = pool.lock();
    pool.addLocked(shared_from_this());
    batches_.push_back(batch);
    for (const Item& item : batch->items) due_ += item.size;
    settle();
  }
  pool.wake();
}

void Ingest::abort(const char* why) noexcept {
  std::exception_ptr reason;
  try {
    throw StoreError{"ABORTED", why};
  } catch (...) {
    reason = std::current_exception();
  }
  const auto lock = Pool::shared().lock();
  giveUp(std::move(reason));
}

void Ingest::fail(std::exception_ptr reason) { failLocked(std::move(reason), nullptr, -1); }

void Ingest::giveUp(std::exception_ptr reason) {
  fail(std::move(reason));
  settle();
}

void Ingest::failLocked(std::exception_ptr error, Batch* batch, int64_t file) {
  if (failure_) return;
  failure_ = std::move(error);
  if (batch) batch->failedFile = file;
}

// Changes nothing when it throws.
std::shared_ptr<SourceRead> Ingest::beginReading(std::shared_ptr<Batch> batch) {
  auto reading = std::make_shared<SourceRead>();
  reading->worker = Pool::currentWorker();
  reading->batch = std::move(batch);
  readings_.push_back(reading);
  running_++;
  return reading;
}

void Ingest::jobDone(const std::shared_ptr<SourceRead>& reading) {
  readings_.remove(reading);
  running_--;
  if (reading->lost) lost_--;
  settle();
  Pool::shared().wake();
}

void Ingest::endSilence(std::chrono::milliseconds limit, const std::string& message) {
  Pool& pool = Pool::shared();
  const auto lock = pool.lock();
  for (auto& reading : readings_) {
    const auto since = reading->stuckSince();
    if (reading->lost || !since || Clock::now() - *since < limit) continue;
    failLocked(std::make_exception_ptr(StoreError{"PEER_SILENT", message}), reading->batch.get(), reading->result);
    lost_++;
    pool.loseLocked(*reading);
  }
  settle();
}

// What a job that was given up is at must stay as it is until that ends, if ever. Descriptors of other batches are
// closed where nobody waits for it.
void Ingest::forsake(std::shared_ptr<Batch> batch) {
  tell(*batch);
  const bool used =
      std::any_of(readings_.begin(), readings_.end(), [&](const auto& reading) { return reading->batch == batch; });
  if (used) {
    for (Item& item : batch->items)
      if (item.ready) item.buffer.reset();
    return;
  }
  try {
    std::thread([batch = std::move(batch)]() mutable {
      for (Item& item : batch->items) item.fd.reset();
    }).detach();
  } catch (...) {
    // No thread is to be had: then they are closed when this is left.
  }
}

void Ingest::tell(Batch& batch) {
  Answer& answer = *batch.answer;
  answer.failure = failure_;
  answer.failedFile = batch.failedFile;
  // A job that was given up may still write to them.
  if (!failure_) answer.results = std::move(batch.results);
  done_(std::move(batch.answer));
}

Batch* Ingest::drainHead() {
  while (drainBatch_ < batches_.size() && batches_[drainBatch_]->drained == batches_[drainBatch_]->items.size())
    drainBatch_++;
  return drainBatch_ < batches_.size() ? batches_[drainBatch_].get() : nullptr;
}

bool Ingest::drainable() {
  const Batch* batch = drainHead();
  if (!batch) return false;
  const Item& item = batch->items[batch->drained];
  if (!item.isFile()) return true;
  if (!item.large) return item.ready;
  if (leasedLarge_ && Clock::now() < nextTry_) return false;
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
    if (running_ > lost_) return;
    while (!batches_.empty()) {
      std::shared_ptr<Batch> batch = std::move(batches_.front());
      batches_.pop_front();
      if (lost_ > 0) {
        forsake(std::move(batch));
        continue;
      }
      for (Item& item : batch->items) {
        item.buffer.reset();
        item.fd.reset();
      }
      tell(*batch);
    }
    if (lost_ > 0) return;
    data_.reset();
    open_.reset();
    large_.clear();
    leased_.clear();
    return;
  }
  while (!batches_.empty() && batches_.front()->drained == batches_.front()->items.size() &&
         batches_.front()->unstored == 0) {
    std::shared_ptr<Batch> batch = std::move(batches_.front());
    batches_.pop_front();
    if (drainBatch_ > 0) drainBatch_--;
    tell(*batch);
  }
}

// Whether the ordered hash could go on, or waits for a large file's own.
bool Ingest::urgent() {
  if (failure_) return false;
  if (!draining_ && drainable()) return true;
  return std::any_of(large_.begin(), large_.end(),
                     [](const auto& file) { return !file->hashing && !file->pieces.empty(); });
}

// Where this throws, the layer is to be given up: it has begun nothing, or nothing that anybody waits for.
Job Ingest::takeJob() {
  if (failure_) return {};
  auto self = shared_from_this();
  if (!draining_ && drainable()) {
    Job job{self, beginReading(nullptr), Job::Drain{}};
    draining_ = true;
    return job;
  }
  for (auto& file : large_) {
    if (file->hashing || file->pieces.empty()) continue;
    Job job{self, beginReading(file->batch), file};
    file->hashing = true;
    return job;
  }
  if (!leased_.empty() && Clock::now() >= nextTry_) {
    const Group& next = leased_.front();
    if (auto buffer = Pool::shared().block(headOfLine(*next.batch, next.items.front()))) {
      Job job{self, beginReading(next.batch), std::move(leased_.front())};
      std::get<Group>(job.work).buffer = std::move(buffer);
      leased_.pop_front();
      return job;
    }
  }
  for (auto& batch : batches_) {
    auto& items = batch->items;
    while (batch->started < items.size() && (!items[batch->started].isFile() || items[batch->started].large))
      batch->started++;
    if (batch->started == items.size()) continue;
    size_t first = batch->started;
    Group group{batch, {}, 0, nullptr, std::nullopt};
    size_t next = first;
    for (; next < items.size() && group.items.size() < kGroupFiles; next++) {
      const Item& item = items[next];
      if (!item.isFile()) continue;
      if (item.large || (!group.items.empty() && group.bytes + item.size > kGroupBytes)) break;
      group.items.push_back(next);
      if (item.kind != Operation::Memory) group.bytes += item.size;
    }
    if (group.bytes > 0) {
      group.buffer = Pool::shared().block(headOfLine(*batch, first));
      if (!group.buffer) return {};
    }
    Job job{self, beginReading(batch), std::move(group)};
    batch->started = next;
    return job;
  }
  return {};
}

void Ingest::run(Job job) {
  sourceRead = job.reading.get();
  std::exception_ptr error;
  try {
    if (auto* group = std::get_if<Group>(&job.work))
      runGroup(std::move(*group), job.reading);
    else if (auto* file = std::get_if<std::shared_ptr<LargeFile>>(&job.work))
      runLarge(std::move(*file), job.reading);
    else
      runDrain(job.reading);
  } catch (...) {
    error = std::current_exception();
  }
  sourceRead = nullptr;
  // What the job held is let go of without the lock: closing, too, may wait for whoever serves a file.
  job.work = Job::Drain{};
  const auto lock = Pool::shared().lock();
  if (error) fail(std::move(error));
  jobDone(job.reading);
}

bool isLeased(const std::exception_ptr& error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const StoreError& failure) {
    return failure.code == kLeased;
  } catch (...) {
  }
  return false;
}

}  // namespace cfsbridge
