// Reading every object of a repository and comparing its digest with its name, on all processors.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/cancel_flag.h"
#include "base/failure.h"
#include "base/layouts.h"
#include "base/owned_fd.h"
#include "check/list_objects.h"
#include "hash/sharing.h"
#include "hash/verity.h"

namespace cfsbridge {

struct ObjectDefect {
  std::string path;  // below objects/
  Defect kind;
  std::string detail;
};

struct CheckOptions {
  Algorithm algorithm;
  bool verityRequired;
  SharingRule sharing;
};

// What a listing found. The bytes stay the caller's.
struct ListedObjects {
  const uint8_t* ids;
  const ObjectPlace* places;
  size_t count;
};

class ObjectCheck {
 public:
  // `objects` stays the caller's and open.
  ObjectCheck(int objects, ListedObjects listed, CheckOptions options, CancelFlag cancelled);
  ~ObjectCheck();
  // Returns when everything was looked at. Throws StoreError for what is not the fault of one object.
  void run();

  // Afterwards: what is wrong, by path.
  std::vector<ObjectDefect> defects;

 private:
  struct Waiting {
    OwnedFd fd;
    const uint8_t* expected;
    size_t offset;
    size_t length;
  };
  struct LargeFile;
  struct Worker;

  void work();
  void checkFolder(Worker& worker, unsigned folder);
  void checkEntry(Worker& worker, int dir, size_t index);
  bool isRegular(int fd, const uint8_t* expected, struct stat& st);
  void checkSharing(int fd, const uint8_t* expected, bool sealed);
  bool measured(Worker& worker, int fd, const uint8_t* expected);
  void readSmall(Worker& worker, Waiting file);
  void checkRest(Worker& worker, Waiting file);
  void hashWaiting(Worker& worker);
  void stream(Worker& worker, const Waiting& file, uint64_t size);
  void readThrough(Worker& worker, const Waiting& file);
  void hashSegments(Worker& worker);
  void hashSegment(Worker& worker, LargeFile& file, uint64_t number);
  void finishLarge(LargeFile& file);
  bool isExpected(const uint8_t* expected, const uint8_t* actual) const;
  void compare(const uint8_t* expected, const uint8_t* actual);
  void report(const uint8_t* expected, Defect kind, std::string detail);
  std::string nameOf(const uint8_t* expected) const;
  bool stopped() const { return failure_.happened() || cancelled_.isSet(); }

  const int objects_;
  const ListedObjects listed_;
  const CheckOptions options_;
  const CancelFlag cancelled_;
  std::atomic<unsigned> nextFolder_{0};
  std::atomic<unsigned> foldersDone_{0};
  std::mutex mutex_;
  std::vector<std::unique_ptr<LargeFile>> large_;
  FirstFailure failure_;
};

}  // namespace cfsbridge
