// One layer on its way into a folder, as containers-storage unpacks it. Batches go through three steps, each in their
// order and on a thread of its own: what they have is put in place, files get their content, and what is there then is
// hashed.
#pragma once
#include <sys/stat.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel_flag.h"
#include "base/failure.h"
#include "base/layouts.h"
#include "base/owned_fd.h"
#include "extract/crc64.h"
#include "extract/layer_folder.h"
#include "extract/stages.h"
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
  OwnedFd fd;    // the source; once the file has its content what came of it
  OwnedFd file;  // the file that gets it; of a hardlink the folder it is in
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
  std::vector<uint8_t> text;
};

[[noreturn]] inline void failContentSize() { fail("INVALID_BATCH", "content of another size than the entry's"); }

// So many files got their content in each ContentWay but None, and so many bytes.
struct ContentCounts {
  uint64_t files[3] = {}, bytes[3] = {};
};

// What went wrong with an entry of the tar.
struct EntryFailure {
  std::exception_ptr cause;
  std::string path;
  uint64_t offset;
};

class Extraction {
 public:
  // `root`: an empty folder. `cancelled` is asked until this is stopped.
  Extraction(OwnedFd root, ExtractSettings settings, CancelFlag cancelled);

  // To be called once, before all else. Throws when there is no thread.
  void start() { stages_.start(); }
  // Operations as JavaScript writes them; owns the descriptors in them from here on, also when this throws.
  void add(const uint8_t* bytes, size_t size);
  // Waits for the next batch, and returns its text. May throw EntryFailure.
  std::vector<uint8_t> take() { return std::move(stages_.take()->text); }
  // When all batches were taken: times of folders, which changed with each file in them.
  void finish();
  void digest(uint8_t out[32]) { sha_.finish(out); }
  const ContentCounts& counts() const { return counts_; }
  void stop() noexcept { stages_.stop(); }

 private:
  struct Folder {
    std::string path;
    uint64_t offset;
    struct timespec times[2];
  };

  // Where one of the steps is.
  struct Cursor {
    const LayerEntry* entry = nullptr;
    std::shared_ptr<ExtractBatch> batch;  // that has it
  };

  // Calls for each operation of a batch. What is thrown gets the place of the entry that it is about.
  template <typename Call>
  void forEachOp(const std::shared_ptr<ExtractBatch>& batch, Cursor& cursor, Call&& call);
  void stopIfCancelled() const;

  void placeOp(ExtractOp& op, const LayerEntry* entry);
  void placeEntry(const LayerEntry& entry, ExtractOp& op);
  void placeAt(const EntryPlace& place, const LayerEntry& entry, ExtractOp& op);
  void placeFile(const EntryPlace& place, const LayerEntry& entry);
  void placeLink(const LayerEntry& entry, ExtractOp& op);
  void write(const ExtractOp& op);
  void completeFile(const LayerEntry* entry);

  void fillOp(ExtractOp& op, const LayerEntry* entry);
  void openSource(ExtractOp& op, struct stat* st);
  void fill(ExtractOp& op, const LayerEntry* entry);
  void copyContent(int from, int to, uint64_t size) const;
  void keepSource(ExtractOp& op, const struct stat& st);

  void hashOp(ExtractBatch& batch, ExtractOp& op);
  void hashFile(const ExtractOp& op);
  bool readSource(const ExtractOp& op, uint64_t size, uint64_t offset);
  void endContent(ContentWay way, uint64_t size);

  void describe(const EntryPlace& place, const LayerEntry& entry);
  // `st` is what was made as it is now.
  void describe(const EntryPlace& place, const LayerEntry& entry, struct stat st);
  void describeLink(int folder, const LayerEntry& entry);
  void describeFile(int fd, struct stat st, const LayerEntry& entry);
  void setXattr(const EntryXattr& xattr, const std::string& path, int fd);

  LayerFolder folder_;
  const ExtractSettings settings_;
  const CancelFlag cancelled_;

  // Of what puts in place:
  Cursor placed_;
  OwnedFd file_;          // the file that waits for its content; empty where nothing is kept
  uint64_t written_ = 0;  // of content that comes in pieces
  std::vector<Folder> folders_;

  // Of what gives files their content:
  Cursor filled_;
  dev_t noClone_ = 0;  // device, plus 1, that nothing can be cloned from
  dev_t timed_ = 0;    // device, plus 1, whose files' times of change can be relied on

  // Of what hashes:
  Cursor hashed_;
  Sha256 sha_;
  Crc64 crc_;
  uint8_t checksum_[8] = {};  // of the last content
  ContentCounts counts_;
  ContentWay dataWay_ = ContentWay::None;
  uint64_t dataSize_ = 0;
  std::vector<uint8_t> segment_;  // bytes that are not in the text yet
  std::unique_ptr<uint8_t[]> buffer_;

  // Last: its threads end before what they use.
  Stages stages_;
};

}  // namespace cfsbridge
