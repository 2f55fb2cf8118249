// The ordered SHA-256 over all bytes of a layer, and content that comes in pieces, which is stored on the way.
#include <algorithm>

#include "ingest/ingest.h"
#include "ingest/pool.h"
#include "base/file_io.h"

namespace cfsbridge {
namespace {

// How many bytes a thread takes into the ordered hash before it looks for something that matters more.
constexpr uint64_t kDrainStep = 1024 * 1024;

}  // namespace

void Ingest::beginData(uint64_t size) {
  data_.emplace(Data{policy_.store ? store_->temporary() : OwnedFd(), VerityHasher(store_->algorithm()), size});
}

void Ingest::endData(FileResult& result) {
  if (!data_ || data_->written != data_->expected) cfsbridge::fail("SIZE_MISMATCH", "content ended early");
  data_->hasher.finish(result.bytes.data());
  result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
  result.outcome =
      policy_.store ? store_->publish(std::move(data_->file), result.bytes, data_->expected) : Outcome::Hashed;
  data_.reset();
}

void Ingest::drainItem(Item& item, Batch& batch) {
  switch (item.kind) {
    case Operation::DataBegin:
      return beginData(item.size);
    case Operation::DataEnd:
      return endData(batch.results[item.result]);
    case Operation::Digest:
      sha_.finish(batch.results[item.result].bytes.data());
      batch.results[item.result].outcome = Outcome::Digest;
      return;
    case Operation::Data:
      if (!data_ || data_->written + item.size > data_->expected)
        cfsbridge::fail("SIZE_MISMATCH", "more content than announced");
      data_->hasher.update(item.data, item.size);
      if (data_->file) writeExactly(data_->file.get(), item.data, item.size, data_->written);
      data_->written += item.size;
      break;
    default:
      break;
  }
  sha_.update(item.data, item.size);
}

// Reads the next piece of a large file, hands it to the file's own hash, and takes it into the ordered one.
void Ingest::drainLarge(const std::shared_ptr<Batch>& batch, Item& item) {
  Pool& pool = Pool::shared();
  if (!open_) {
    auto file = std::make_shared<LargeFile>(batch, item, store_->algorithm());
    openLarge(*file);
    const auto lock = pool.lock();
    leasedLarge_.reset();
    open_ = std::move(file);
    large_.push_back(open_);
  }
  LargeFile& file = *open_;
  LargeFile::Piece piece{pool.block(true), static_cast<size_t>(std::min<uint64_t>(kGroupBytes, item.size - file.read))};
  fromSource(
      [&] { readExactly(file.clone ? file.clone.get() : item.fd.get(), piece.data.get(), piece.size, file.read); });
  file.read += piece.size;
  {
    const auto lock = pool.lock();
    file.pieces.push_back(piece);
    if (!file.hashing) pool.wake();
  }
  sha_.update(piece.data.get(), piece.size);
}

void Ingest::runDrain(const std::shared_ptr<SourceRead>& reading) {
  Pool& pool = Pool::shared();
  auto lock = pool.lock();
  while (!failure_ && drainable() && !pool.urgentBefore(*this)) {
    std::shared_ptr<Batch> batch = batches_[drainBatch_];
    // As many items as are ready, hashed in one go without the lock.
    size_t first = batch->drained, end = first;
    const bool large = batch->items[first].large;
    uint64_t bytes = 0;
    while (!large && end < batch->items.size() && end - first < 256 && bytes < kDrainStep) {
      const Item& item = batch->items[end];
      if (item.isFile() && (item.large || !item.ready)) break;
      bytes += item.size;
      end++;
    }
    if (large) {
      end++;
      reading->batch = batch;
      reading->result = static_cast<int64_t>(batch->items[first].result);
      bytes = std::min<uint64_t>(kGroupBytes, batch->items[first].size - (open_ ? open_->read : 0));
    }
    lock.unlock();
    std::exception_ptr error;
    int64_t failedFile = -1;
    for (size_t i = first; i < end; i++) {
      Item& item = batch->items[i];
      try {
        large ? drainLarge(batch, item) : drainItem(item, *batch);
      } catch (...) {
        error = std::current_exception();
        failedFile = item.isFile() || item.kind == Operation::DataEnd ? static_cast<int64_t>(item.result) : -1;
        break;
      }
      item.buffer.reset();
    }
    lock.lock();
    if (large && isLeased(error) && Clock::now() - leasedLarge_.value_or(Clock::now()) < kLeaseWait) {
      if (!leasedLarge_) leasedLarge_ = Clock::now();
      nextTry_ = Clock::now() + kLeasePause;
      continue;
    }
    due_ -= bytes;
    pool.wake();  // blocks have come back
    if (error) {
      failLocked(std::move(error), batch.get(), failedFile);
      break;
    }
    if (!large || open_->read == open_->item.size) {
      batch->drained = end;
      open_.reset();
    }
    settle();
  }
  draining_ = false;
}

}  // namespace cfsbridge
