// The names of all objects of a repository, without opening any.
#pragma once
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "base/cancel_flag.h"
#include "base/failure.h"
#include "hash/verity.h"

namespace cfsbridge {

// Where to look for an object, for reading many: neighbours in number are neighbours on a disk.
struct ObjectPlace {
  static constexpr uint64_t kOdd = 1ull << 63;  // perhaps no regular file
  uint64_t value;
};

class ObjectListing {
 public:
  // `objects` stays the caller's and open.
  ObjectListing(int objects, Algorithm algorithm, CancelFlag cancelled = CancelFlag());
  // Returns when all folders were read. Throws StoreError.
  void run();

  // Afterwards: digests by their names in ascending order, a place for each, and paths of what is not an object.
  std::string ids;
  std::vector<ObjectPlace> places;
  std::vector<std::string> others;

 private:
  struct Folder {
    std::string ids;
    std::vector<ObjectPlace> places;
  };

  void work();
  void list(unsigned folder);
  void addOther(std::string path);

  const int objects_;
  const size_t digestSize_;
  const CancelFlag cancelled_;
  std::atomic<unsigned> next_{0};
  std::vector<Folder> folders_;
  std::mutex mutex_;
  FirstFailure failure_;
};

}  // namespace cfsbridge
