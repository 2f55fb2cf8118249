// Bytes and the contents of files on their way into a pipe, hashed as they go, without ever waiting for the reader.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel_flag.h"
#include "base/owned_fd.h"
#include "hash/verity.h"
#include "socket/part_sender.h"

namespace cfsbridge {

// Parts that arrived together, with the bytes that they point into.
struct PumpBatch {
  std::unique_ptr<uint8_t[]> bytes;
  std::vector<Part> parts;
};

class PipePump {
 public:
  // `hashing`: whether digest() will be asked.
  PipePump(OwnedFd out, bool hashing);
  void add(PumpBatch batch);
  // Goes on where it stopped. Throws StoreError, and is of no more use then.
  PumpState run(const CancelFlag& cancelled);
  // SHA-256 of what was written and what is still in the buffer; once, at the end.
  std::string digest();
  // Lets go of the pipe and of all files.
  void close();
  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  // The part that is under way, of all that were added.
  uint64_t current() const { return current_; }
  bool ofOutput() const { return ofOutput_; }

 private:
  bool fill(const CancelFlag& cancelled);  // false: leased
  bool open(Part& part);
  bool flush();  // false: full
  void next();

  OwnedFd out_;
  const bool hashing_;
  Sha256 hash_;
  std::deque<PumpBatch> batches_;
  size_t part_ = 0;      // in the first batch
  OwnedFd file_;         // of that part, once it is open
  uint64_t offset_ = 0;  // in that part
  std::unique_ptr<uint8_t[]> buffer_;
  uint64_t begin_ = 0, end_ = 0;  // what of the buffer is to be written
  std::atomic<uint64_t> written_ = 0;
  uint64_t current_ = 0;
  bool ofOutput_ = false;
};

}  // namespace cfsbridge
