// The folder of objects: how content, once its digest is known, gets its name there.
#pragma once
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <mutex>
#include <set>
#include <string>

#include "store/digest_set.h"
#include "store/fan_out.h"
#include "base/failure.h"
#include "base/layouts.h"
#include "base/owned_fd.h"
#include "hash/sharing.h"
#include "hash/verity.h"

namespace cfsbridge {

// What came of trying to link a file. Refused: by its owner, mode or capabilities alone. Occupied: something else has
// its name that cannot stay there. Impossible: these filesystems cannot, or do not let us.
enum class LinkResult : uint8_t { Linked, Present, Refused, Occupied, Impossible };

// Which ways of taking over a source file are allowed.
struct TakePolicy {
  bool store = true;  // false: only hash
  bool reflink = true;
  bool hardlink = true;
  bool copy = true;
  bool sealSource = false;  // fs-verity may be turned on for a hardlinked source
  bool trusted = true;      // nobody who may write to the sources wants to deceive us
};

class ObjectStore {
 public:
  // `stagingFd`: where new objects wait, under the same names, for another store to `land` them; -1 when they need not.
  ObjectStore(int objectsFd, Algorithm algorithm, bool verityRequired, SharingRule sharing, int stagingFd = -1);

  // Nothing may be under way; afterwards every call fails with EBADF.
  void close() {
    objects_.close();
    staging_.close();
  }

  Algorithm algorithm() const { return algorithm_; }
  // The name below objects/: "ab/cdef…".
  std::string nameOf(const Digest& digest) const;

  // Whether there is an object of that name that nobody else can change. Its content is not looked at.
  bool has(const Digest& digest);
  // The same, and whether fs-verity vouches for its digest where that is required.
  bool hasUsable(const Digest& digest);
  // How long an object is, or one of these. `name`: "ab/cdef…".
  static constexpr int64_t kMissing = -1, kNoFile = -2;
  int64_t size(const std::string& name);

  // True when an object of that digest is there, its content is known to be right and nobody else can change it. Any
  // other is as good as absent: `publish` replaces it. `source`, when not null, is a file whose content was just
  // hashed: an object that shares its inode is right.
  bool presentAndRight(const Digest& digest, uint64_t size, const struct stat* source);

  // An object that was found to be damaged is not right, whatever the kernel says of it: it may know the digest and be
  // unable to read the content. Until a new one is stored.
  void distrust(const Digest& digest);

  OwnedFd temporary();
  // Gives a finished temporary file its name; Present when a right one was there before.
  Outcome publish(OwnedFd temporary, const Digest& digest, uint64_t size);

  // Links the source's own inode, where `SharingRule` lets it be an object. `st` is of the descriptor `source`, from
  // before its content was read. Throws, and leaves no link, when the file has changed since.
  LinkResult hardlink(int source, const struct stat& st, const Digest& digest, const TakePolicy& policy);
  // Whether `hardlink` would refuse the file whatever its content; so a large one is copied while it is read.
  bool refuses(int source, const struct stat& st, const TakePolicy& policy) const {
    return (!policy.trusted || staging_ || !sharing_.allows(source, st, false)) && sameFilesystem(st.st_dev);
  }
  // Takes away an object that was linked to this inode, if its content is not right (any more). Another that has its
  // name stays.
  void withdrawIfWrong(const Digest& digest, ino_t inode);
  // Clones the source into a temporary file; an empty result when this pair of filesystems cannot.
  OwnedFd reflink(int source, const struct stat& st);

  bool reflinkHopeless(dev_t device) const { return noReflink_.load(std::memory_order_relaxed) == device + 1; }
  // Moves everything out of a staging folder, which is known to be right, into its place.
  void land(int staging);

  // Which ways of sharing did not work from which file system, each once, and why not: for people who wonder.
  struct Refusal {
    bool hardlink;
    dev_t device;
    int error;
  };
  std::vector<Refusal> refusals();

  bool hardlinkPossible(dev_t device) const { return noHardlink_.load(std::memory_order_relaxed) != device + 1; }

 private:
  // The folder that new objects go into.
  FanOut& target() { return staging_ ? staging_ : objects_; }
  bool linkInto(int fd, const std::string& name, int* error);
  void noteRefusal(bool hardlink, dev_t device, int error);
  static std::string temporaryName();
  bool linkAnyhow(int fd, const struct stat& st, const std::string& name, int* error);
  void withdraw(const std::string& name, ino_t inode);
  void landOne(int staging, const Digest& digest);
  bool hasContent(int fd, uint64_t size, const Digest& digest) const;
  bool sameFilesystem(dev_t device) const;
  void replace(int fd, const std::string& name);
  void seal(OwnedFd& file, const Digest& digest);
  // What fs-verity says of a source's file: nothing, that it is right, or that it cannot be the object.
  enum class Seal { None, Right, Unfit };
  Seal sealSource(int source, dev_t device, const Digest& digest, const TakePolicy& policy);
  bool sameDigest(const Digest& one, const Digest& other) const;
  void remember(const Digest& digest);
  bool remembered(const Digest& digest);
  bool distrusted(const Digest& digest);

  FanOut objects_;
  FanOut staging_;
  Algorithm algorithm_;
  bool verityRequired_;
  SharingRule sharing_;
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
  std::vector<Refusal> refusals_;
  std::set<std::string> withdrawn_;  // names of those that were right and proved wrong
};

}  // namespace cfsbridge
