// Batches go through some steps one after the other, each step on a thread of its own and in their order. A thread
// takes the next batch as soon as it is through with one, however busy JavaScript is.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace cfsbridge {

struct ExtractBatch;

class Stages {
 public:
  using Batch = std::shared_ptr<ExtractBatch>;
  using Step = std::function<void(const Batch&)>;

  explicit Stages(std::vector<Step> steps);
  ~Stages() { stop(); }
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;

  // To be called once. Throws when there is no thread for a step.
  void start();
  void add(Batch batch);
  // Waits for the next batch that is through. Throws what a step threw, that of the earliest batch; and ABORTED once it
  // was stopped.
  Batch take();
  // Waits until the steps that are under way have ended.
  void stop() noexcept;

 private:
  struct Stage {
    Step step;
    std::deque<Batch> waiting;
    bool ended = false;
    std::thread thread;
  };

  void run(size_t index) noexcept;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Stage> stages_;
  std::deque<Batch> through_;
  std::exception_ptr failure_;
  size_t failed_ = 0;  // the step whose it is
  bool stopped_ = false;
};

}  // namespace cfsbridge
