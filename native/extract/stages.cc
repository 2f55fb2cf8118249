#include "extract/stages.h"

#include <utility>

#include "base/failure.h"

namespace cfsbridge {

Stages::Stages(std::vector<Step> steps) : stages_(steps.size()) {
  for (size_t i = 0; i < steps.size(); i++) stages_[i].step = std::move(steps[i]);
}

void Stages::start() {
  for (size_t i = 0; i < stages_.size(); i++) stages_[i].thread = std::thread([this, i] { run(i); });
}

void Stages::add(Batch batch) {
  const std::lock_guard lock(mutex_);
  stages_.front().waiting.push_back(std::move(batch));
  changed_.notify_all();
}

Stages::Batch Stages::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || !through_.empty() || stages_.back().ended; });
  if (!through_.empty()) {
    Batch batch = std::move(through_.front());
    through_.pop_front();
    return batch;
  }
  if (failure_) std::rethrow_exception(failure_);
  cfsbridge::fail("ABORTED", "aborted");
}

void Stages::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  for (Stage& stage : stages_)
    if (stage.thread.joinable()) stage.thread.join();
}

void Stages::run(size_t index) noexcept {
  Stage& stage = stages_[index];
  std::deque<Batch>& next = index + 1 == stages_.size() ? through_ : stages_[index + 1].waiting;
  std::unique_lock lock(mutex_);
  try {
    for (;;) {
      // What was given on before a failure is done still: it came before what failed.
      changed_.wait(lock,
                    [&] { return stopped_ || !stage.waiting.empty() || (index > 0 && stages_[index - 1].ended); });
      if (stopped_ || stage.waiting.empty()) break;
      Batch batch = std::move(stage.waiting.front());
      stage.waiting.pop_front();
      lock.unlock();
      stage.step(batch);
      lock.lock();
      next.push_back(std::move(batch));
      changed_.notify_all();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    // A later step is at an earlier batch.
    if (!failure_ || index > failed_) {
      failure_ = std::current_exception();
      failed_ = index;
    }
  }
  stage.ended = true;
  changed_.notify_all();
}

}  // namespace cfsbridge
