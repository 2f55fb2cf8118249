// The folder of objects: how content, once its digest is known, gets its name there.
#pragma once
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string>

#include "digest_set.h"
#include "verity.h"

namespace cfsbridge {

using Digest = std::array<uint8_t, 64>;

// Closes its descriptor; moves only.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// What went wrong with one file; `code` is errno's name or one of ours.
struct StoreError {
  std::string code;
  std::string message;
};
[[noreturn]] void failErrno(int error, const std::string& what);
[[noreturn]] void fail(const char* code, const std::string& message);

enum class Outcome : uint8_t { Hashed = 0, Reflinked = 1, Hardlinked = 2, Copied = 3, Present = 4, Small = 5 };

// Which ways of taking over a source file are allowed.
struct TakePolicy {
  bool store = true;       // false: only hash
  bool reflink = true;
  bool hardlink = true;
  bool copy = true;
  bool sealSource = false; // fs-verity may be turned on for a hardlinked source
  bool trusted = true;     // nobody who may write to the sources wants to deceive us
};

// The kernel's digest of a file with fs-verity; its size in bytes, 0 when the file has none.
size_t measureVerity(int fd, Digest& digest);

class ObjectStore {
 public:
  ObjectStore(int objectsFd, Algorithm algorithm, bool verityRequired);

  // Nothing may be under way; afterwards every call fails with EBADF.
  void close() { objects_.reset(); }

  Algorithm algorithm() const { return algorithm_; }
  // The name below objects/: "ab/cdef…".
  std::string nameOf(const Digest& digest) const;

  // Whether there is anything of that name.
  bool has(const Digest& digest) const;

  // True when an object of that digest is there and its content is known to be right. A damaged one
  // is moved out of the way of the caller, who will replace it: see `publish`.
  // `source`, when not null, is a file whose content was just hashed: an object that shares its inode is right.
  bool presentAndRight(const Digest& digest, uint64_t size, const struct stat* source);

  // An object that was found to be damaged is not right, whatever the kernel says of it: it may know the digest and be
  // unable to read the content. Until a new one is stored.
  void distrust(const Digest& digest);

  OwnedFd temporary();
  // Gives a finished temporary file its name; Present when a right one was there before.
  Outcome publish(OwnedFd temporary, const Digest& digest, uint64_t size);

  // Links the source's own inode. Returns false when that cannot work here (then copy).
  bool hardlink(int source, const struct stat& st, const Digest& digest, const TakePolicy& policy, Outcome* outcome);
  // Clones the source into a temporary file; an empty result when this pair of filesystems cannot.
  OwnedFd reflink(int source, const struct stat& st);

  bool reflinkHopeless(dev_t device) const { return noReflink_.load(std::memory_order_relaxed) == device + 1; }
  bool hardlinkPossible(dev_t device) const { return noHardlink_.load(std::memory_order_relaxed) != device + 1; }

 private:
  bool linkInto(int fd, const std::string& name, int* error);
  void replace(int fd, const std::string& name);
  void seal(OwnedFd& file, const Digest& digest);
  bool sealSource(int source, dev_t device, const Digest& digest, const TakePolicy& policy);
  bool sameDigest(const Digest& one, const Digest& other) const;
  void remember(const Digest& digest);
  bool remembered(const Digest& digest);
  bool distrusted(const Digest& digest);

  OwnedFd objects_;
  Algorithm algorithm_;
  bool verityRequired_;
  std::atomic<bool> noVerity_{false};
  std::atomic<bool> noTmpfile_{false};
  std::atomic<bool> noEmptyPath_{false};
  std::atomic<dev_t> unsealable_{0};
  std::atomic<dev_t> noReflink_{0};
  std::atomic<dev_t> noHardlink_{0};
  std::atomic<dev_t> linkByHandle_{0};
  std::mutex mutex_;
  DigestSet right_;  // objects stored or checked by this process
  DigestSet wrong_;  // found damaged by this process
};

}  // namespace cfsbridge
