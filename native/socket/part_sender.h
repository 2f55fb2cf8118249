// Bytes and the contents of files, written one after the other to a descriptor.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/cancel_flag.h"
#include "base/layouts.h"
#include "base/owned_fd.h"

namespace cfsbridge {

// Bytes, a file by its name below a directory, or an open file.
struct Part {
  const uint8_t* bytes = nullptr;
  uint64_t size = 0;  // of a file: what it has to have, or kAnySize
  int dir = -1;
  std::string_view name;
  OwnedFd fd;
  // Only so many bytes of the open file, from here on; a pump's.
  bool isRange = false;
  uint64_t start = 0;
};

class PartSender {
 public:
  // `position`: where to write, or -1 to go on where the descriptor is. `limit`: most bytes to write.
  PartSender(int out, int64_t position, uint64_t limit, std::vector<Part> parts, CancelFlag cancelled);
  void run();  // throws StoreError
  uint64_t written() const { return written_; }
  // The part that is under way, or that could not be read; the number of parts when it was not a part's fault.
  size_t current() const { return current_; }

 private:
  void sendWhenFree(Part& part);
  void sendFile(Part& part);
  void checkLimit(uint64_t size) const;
  void checkCancelled() const;
  void transfer(int fd, uint64_t size);
  void gather(int fd, uint64_t size, uint64_t offset);
  void flush();
  void write(const uint8_t* data, uint64_t size);
  void waitForRoom();
  [[noreturn]] void failOutput(int error);

  int out_;
  int64_t position_;
  uint64_t limit_;
  std::vector<Part> parts_;
  const CancelFlag cancelled_;
  std::unique_ptr<uint8_t[]> buffer_;
  uint64_t length_ = 0;
  uint64_t written_ = 0;
  size_t current_ = 0;
};

}  // namespace cfsbridge
