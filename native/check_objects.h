// Reading every object of a repository and comparing its digest with its name, on all processors.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "object_store.h"
#include "verity.h"

namespace cfsbridge {

struct ObjectDefect {
  enum class Kind : uint8_t { InvalidName, Open, Verity, NoVerity, Mismatch };
  std::string path;  // below objects/
  Kind kind;
  std::string detail;
};

struct CheckOptions {
  Algorithm algorithm;
  bool verityRequired;
  bool namesOnly;
};

class ObjectCheck {
 public:
  // `objects` stays the caller's and open; `cancelled` becomes other than 0 to end early.
  ObjectCheck(int objects, CheckOptions options, const uint8_t* cancelled);
  ~ObjectCheck();
  // Returns when everything was looked at. Throws StoreError for what is not the fault of one object.
  void run();

  // Afterwards: digests by their names, in ascending order, and what is wrong, by path.
  std::string ids;
  std::vector<ObjectDefect> defects;

 private:
  struct Entry {
    std::string name;
    uint64_t inode;
    Digest digest;
  };
  struct Waiting {
    OwnedFd fd;
    std::string path;
    Digest expected;
    size_t offset;
    size_t length;
  };
  struct LargeFile;
  struct Worker;

  void work();
  void checkFolder(Worker& worker, unsigned folder);
  std::vector<Entry> list(unsigned folder, OwnedFd& dir);
  void checkEntry(Worker& worker, int dir, const std::string& path, const Entry& entry);
  bool measured(Worker& worker, int fd, const std::string& path, const Digest& expected);
  void hashWaiting(Worker& worker);
  void stream(Worker& worker, Waiting& file, uint64_t size);
  void readThrough(Worker& worker, Waiting& file, uint64_t size);
  void hashSegments(Worker& worker);
  void hashSegment(Worker& worker, LargeFile& file, uint64_t number);
  void finishLarge(LargeFile& file);
  void compare(const std::string& path, const Digest& expected, const uint8_t* actual);
  void report(std::string path, ObjectDefect::Kind kind, std::string detail);
  bool stopped() const { return failed_.load(std::memory_order_relaxed) || __atomic_load_n(cancelled_, __ATOMIC_RELAXED); }

  const int objects_;
  const CheckOptions options_;
  const uint8_t* const cancelled_;
  std::atomic<unsigned> nextFolder_{0};
  std::atomic<unsigned> foldersDone_{0};
  std::atomic<bool> failed_{false};
  std::vector<std::string> folderIds_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<LargeFile>> large_;
  StoreError failure_;
};

}  // namespace cfsbridge
