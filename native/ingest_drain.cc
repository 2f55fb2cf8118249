// The ordered SHA-256 over all bytes of a layer, and content that comes in pieces, which is stored on the way.
#include <algorithm>

#include "ingest.h"
#include "ingest_io.h"

namespace cfsbridge {

void Ingest::beginData(uint64_t size) {
  data_.emplace(Data{policy_.store ? store_->temporary() : OwnedFd(), VerityHasher(store_->algorithm()), size});
}

void Ingest::endData(FileResult& result) {
  if (!data_ || data_->written != data_->expected) fail("SIZE_MISMATCH", "content ended early");
  data_->hasher.finish(result.bytes.data());
  result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
  result.outcome = policy_.store ? store_->publish(std::move(data_->file), result.bytes, data_->expected) : Outcome::Hashed;
  data_.reset();
}

void Ingest::drainItem(Item& item, Batch& batch, uint64_t available) {
  switch (item.kind) {
    case Item::Kind::DataBegin:
      return beginData(item.size);
    case Item::Kind::DataEnd:
      return endData(batch.results[item.result]);
    case Item::Kind::Data:
      if (!data_ || data_->written + item.size > data_->expected) fail("SIZE_MISMATCH", "more content than announced");
      data_->hasher.update(item.data, item.size);
      if (data_->file) writeExactly(data_->file.get(), item.data, item.size, data_->written);
      data_->written += item.size;
      break;
    default:
      break;
  }
  if (!item.large) return sha_.update(item.data, item.size);
  int fd = item.copy ? item.copy.get() : item.fd.get();
  uint8_t* buffer = readBuffer();
  while (item.hashed < available) {
    size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, available - item.hashed));
    readExactly(fd, buffer, step, item.hashed);
    sha_.update(buffer, step);
    item.hashed += step;
  }
}

void Ingest::runDrain() {
  Pool& pool = Pool::shared();
  std::unique_lock lock(pool.mutex);
  while (!failure_ && drainable()) {
    std::shared_ptr<Batch> batch = batches_[drainBatch_];
    // As many items as are ready, hashed in one go without the lock.
    size_t first = batch->drained, end = first;
    uint64_t available = 0;
    for (; end < batch->items.size() && end - first < 256; end++) {
      const Item& item = batch->items[end];
      if (item.isFile() && !item.large && !item.ready) break;
      if (item.large) {
        if (end == first) {
          available = std::min(item.available, item.hashed + 16 * 1024 * 1024);
          end++;
        }
        break;
      }
    }
    lock.unlock();
    std::optional<StoreError> error;
    int64_t failedFile = -1;
    for (size_t i = first; i < end; i++) {
      Item& item = batch->items[i];
      try {
        drainItem(item, *batch, available);
      } catch (StoreError& caught) {
        error = std::move(caught);
        failedFile = item.isFile() || item.kind == Item::Kind::DataEnd ? static_cast<int64_t>(item.result) : -1;
        break;
      }
      item.buffer.reset();
    }
    lock.lock();
    pool.wake();  // blocks have come back
    if (error) {
      failLocked(std::move(*error), batch.get(), failedFile);
      break;
    }
    Item& last = batch->items[end - 1];
    if (!last.large) batch->drained = end;
    else if (last.ready && last.hashed == last.size) {
      last.fd.reset();
      last.copy.reset();
      batch->drained = end;
    }
    settle();
  }
  draining_ = false;
  running_--;
  settle();
  pool.wake();
}

}  // namespace cfsbridge
