// One layer on its way into a folder, as containers-storage unpacks it. Batches go through two steps, each in their
// order and on a thread of its own: what they have is put in place, and what is in place is hashed.
#pragma once
#include <sys/stat.h>

#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel_flag.h"
#include "base/failure.h"
#include "base/layouts.h"
#include "base/owned_fd.h"
#include "extract/crc64.h"
#include "extract/layer_folder.h"
#include "hash/verity.h"

namespace cfsbridge {

struct ExtractSettings {
  bool zeroCopy;       // content of files is cloned, or that is an error
  bool userNamespace;  // of a user: xattrs that only root can set are left out
};

struct EntryXattr {
  bool needed;
  std::string_view name, value;
};

struct LayerEntry {
  EntryKind kind;
  bool owned;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  unsigned major, minor;
  struct timespec times[2];  // as utimensat takes them
  uint64_t size;
  uint64_t offset;
  std::string_view path, target;
  std::vector<EntryXattr> xattrs;
};

struct ExtractOp {
  Operation kind;
  size_t entry = 0;  // of Entry
  int dir = -1;
  OwnedFd fd;  // the source; once it is in place what came of it
  // The source of a clone, where it can be told that both are still the same: it is in memory more often.
  OwnedFd source;
  struct stat before;
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  std::string_view name;
  ContentWay way = ContentWay::None;
};

struct ExtractBatch {
  std::unique_ptr<uint8_t[]> bytes;
  std::vector<LayerEntry> entries;
  std::vector<ExtractOp> ops;
  std::vector<uint8_t> results;  // see ContentAt
};

// What went wrong with an entry of the tar.
struct EntryFailure {
  std::exception_ptr cause;
  std::string path;
  uint64_t offset;
};

// Throws when the work is to end early.
inline void stopIf(const CancelFlag& cancelled) {
  if (cancelled.isSet()) fail("ABORTED", "aborted");
}

class Extraction {
 public:
  // `root`: an empty folder.
  Extraction(OwnedFd root, ExtractSettings settings) : folder_(std::move(root)), settings_(settings) {}

  // Operations as JavaScript writes them; owns the descriptors in them from here on, also when this throws.
  void add(const uint8_t* bytes, size_t size);
  // The next batch's turn. Each has to wait for the one before; a batch can be hashed once it is in place, while the
  // next is put in place. May throw EntryFailure.
  void place(const CancelFlag& cancelled);
  std::vector<uint8_t> hash(const CancelFlag& cancelled);
  // When all batches are through: times of folders, which changed with each file in them.
  void finish(const CancelFlag& cancelled);
  void digest(uint8_t out[32]) { sha_.finish(out); }

 private:
  struct Folder {
    std::string path;
    uint64_t offset;
    struct timespec times[2];
  };

  using Queue = std::deque<std::shared_ptr<ExtractBatch>>;
  std::shared_ptr<ExtractBatch> next(Queue& queue);
  void placeOp(const std::shared_ptr<ExtractBatch>& batch, ExtractOp& op, const CancelFlag& cancelled);
  void placeEntry(const LayerEntry& entry);
  void placeAt(const EntryPlace& place, const LayerEntry& entry);
  void placeFile(const EntryPlace& place, const LayerEntry& entry);
  void placeLink(const LayerEntry& entry);
  void describe(const EntryPlace& place, const LayerEntry& entry);
  void describeFile(int fd, const LayerEntry& entry);
  void setXattr(const EntryXattr& xattr, const std::string& path, int fd);
  void openSource(ExtractOp& op, struct stat* st, const CancelFlag& cancelled);
  void fill(ExtractOp& op, const CancelFlag& cancelled);
  void write(ExtractOp& op);
  void completeFile();
  void keepSource(ExtractOp& op, const struct stat& st);
  void hashFile(const ExtractOp& op, const CancelFlag& cancelled);
  bool readSource(const ExtractOp& op, uint64_t size, uint64_t offset);
  void pushResult(ExtractBatch& batch, ContentWay way);

  LayerFolder folder_;
  const ExtractSettings settings_;

  std::mutex mutex_;
  Queue added_, placed_;

  // Of what puts in place:
  const LayerEntry* current_ = nullptr;    // the entry that it is at
  std::shared_ptr<ExtractBatch> filling_;  // whose entry waits for its content
  OwnedFd file_;                           // the file of that entry; empty where nothing is kept
  uint64_t written_ = 0;                   // of content that comes in pieces
  dev_t noClone_ = 0;                      // device, plus 1, that nothing can be cloned from
  dev_t timed_ = 0;                        // device, plus 1, whose files' times of change can be relied on
  std::vector<Folder> folders_;

  // Of what hashes:
  Sha256 sha_;
  Crc64 crc_;
  ContentWay dataWay_ = ContentWay::None;
  std::unique_ptr<uint8_t[]> buffer_;
};

}  // namespace cfsbridge
