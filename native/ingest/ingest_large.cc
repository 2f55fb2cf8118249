// Large files: never in memory whole, read once and hashed twice at the same time.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ingest/ingest.h"
#include "ingest/pool.h"
#include "base/file_io.h"

namespace cfsbridge {
namespace {

bool allZero(const uint8_t* data, size_t size) {
  return size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

}  // namespace

// Decides how the file gets into the store, as far as that can be known before its digest is.
void Ingest::openLarge(LargeFile& file) {
  Item& item = file.item;
  fromSource([&] { openSource(item, &file.st); });
  if (!policy_.store) return;
  if (policy_.reflink && (file.object = store_->reflink(item.fd.get(), file.st))) {
    file.way = Outcome::Reflinked;
    if (policy_.trusted) return;
    file.clone = reopenReadOnly(file.object.get());
    if (!file.clone) failErrno(errno, "cannot reopen a temporary file");
  } else if (policy_.hardlink && store_->hardlinkPossible(file.st.st_dev)) {
    file.unshareable = store_->refuses(item.fd.get(), file.st, policy_);
    file.way = file.unshareable ? Outcome::Copied : Outcome::Hardlinked;
  } else {
    file.way = Outcome::Copied;
  }
  if (file.way == Outcome::Copied) {
    if (!policy_.copy && !file.unshareable) failZeroCopy();
    file.object = store_->temporary();
    if (ftruncate(file.object.get(), static_cast<off_t>(item.size)) < 0) failErrno(errno, "cannot size an object");
  }
}

void Ingest::hashPiece(LargeFile& file, const LargeFile::Piece& piece) {
  const uint8_t* data = piece.data.get();
  file.hasher.update(data, piece.size);
  if (file.way == Outcome::Copied && !allZero(data, piece.size))
    writeExactly(file.object.get(), data, piece.size, file.hashed);
  file.hashed += piece.size;
}

void Ingest::finishLarge(LargeFile& file, FileResult& result) {
  const Item& item = file.item;
  file.hasher.finish(result.bytes.data());
  result.length = static_cast<uint8_t>(digestSize(store_->algorithm()));
  result.outcome = file.way;
  if (file.way == Outcome::Hashed) return;
  if (file.way == Outcome::Hardlinked) {
    fromSource([&] { checkUnchanged(item.fd.get(), file.st); });
    const LinkResult linked = link(file.item, file.st, result.bytes);
    if (linked == LinkResult::Present)
      result.outcome = Outcome::Present;
    else if (linked != LinkResult::Linked)
      result.outcome = copyLarge(file, result.bytes, linked != LinkResult::Impossible);
    return;
  }
  if (file.way == Outcome::Reflinked && policy_.trusted) fromSource([&] { checkUnchanged(item.fd.get(), file.st); });
  Outcome outcome = store_->publish(std::move(file.object), result.bytes, item.size);
  if (outcome != Outcome::Copied)
    result.outcome = outcome;
  else if (file.unshareable)
    result.outcome = Outcome::Unshareable;
}

// A link was not to be had after all: what is copied now must be what was hashed.
Outcome Ingest::copyLarge(LargeFile& file, const Digest& digest, bool allowed) {
  if (!policy_.copy && !allowed) failZeroCopy();
  const uint64_t size = file.item.size;
  file.object = store_->temporary();
  if (ftruncate(file.object.get(), static_cast<off_t>(size)) < 0) failErrno(errno, "cannot size an object");
  file.way = Outcome::Copied;
  LargeFile::Piece piece{Pool::shared().block(true), 0};
  for (file.hashed = 0; file.hashed < size;) {
    piece.size = static_cast<size_t>(std::min<uint64_t>(kGroupBytes, size - file.hashed));
    fromSource([&] { readExactly(file.item.fd.get(), piece.data.get(), piece.size, file.hashed); });
    hashPiece(file, piece);
  }
  Digest copied{};
  file.hasher.finish(copied.data());
  if (copied != digest) cfsbridge::fail("SOURCE_CHANGED", "the file changed while it was read");
  return store_->publish(std::move(file.object), digest, size);
}

// Hashes what there is of the file; whoever hashes the last piece stores it.
void Ingest::runLarge(std::shared_ptr<LargeFile> file, const std::shared_ptr<SourceRead>& reading) {
  Pool& pool = Pool::shared();
  reading->result = static_cast<int64_t>(file->item.result);
  FileResult& result = file->batch->results[file->item.result];
  std::exception_ptr error;
  bool finished = false;
  auto lock = pool.lock();
  try {
    while (!failure_ && !file->pieces.empty()) {
      LargeFile::Piece piece = std::move(file->pieces.front());
      file->pieces.pop_front();
      if (file->pieces.size() + 1 == kPiecesAhead) pool.wake();
      lock.unlock();
      hashPiece(*file, piece);
      piece.data.reset();
      finished = file->hashed == file->item.size;
      if (finished) {
        finishLarge(*file, result);
        // Not with the lock: closing, too, may wait for whoever serves the file.
        file->item.fd.reset();
      }
      lock.lock();
    }
  } catch (...) {
    error = std::current_exception();
    if (!lock.owns_lock()) lock.lock();
  }
  file->hashing = false;
  if (error) failLocked(error, file->batch.get(), static_cast<int64_t>(file->item.result));
  if (finished && !error) {
    file->batch->unstored--;
    std::erase(large_, file);
  }
}

}  // namespace cfsbridge
