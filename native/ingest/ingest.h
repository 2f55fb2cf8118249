// One layer on its way into the object store: its pieces in tar order, hashed twice. SHA-256 over all bytes runs
// in order (the diff_id); fs-verity digests and storing of files run ahead of it, several at a time.
#pragma once
#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/layouts.h"
#include "base/limits.h"
#include "store/object_store.h"
#include "ingest/source_read.h"
#include "hash/verity.h"

namespace cfsbridge {

constexpr size_t kGroupFiles = 64;
constexpr size_t kPiecesAhead = 6;  // pieces of a large file in the ordered hash and not yet in its own

struct Item {
  Operation kind;
  bool ready = false;  // content may be hashed in order
  bool large = false;  // read when the ordered hash comes to it
  int dir = -1;
  OwnedFd fd;
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  std::string_view name;
  uint64_t start = 0;       // where in the file deflate data begin
  uint32_t storedSize = 0;  // of deflate data
  size_t result = 0;
  std::shared_ptr<uint8_t[]> buffer;

  bool isDeflated() const { return kind == Operation::Deflated || kind == Operation::DeflatedFile; }
  // The content is a file of the source, which may be shared.
  bool isPlain() const { return kind == Operation::Named || kind == Operation::Open; }
  bool isFile() const { return isPlain() || isDeflated() || kind == Operation::Memory; }
};

struct FileResult {
  Outcome outcome = Outcome::Hashed;
  uint8_t length = 0;
  Digest bytes{};  // the digest, or the content of a small file
};

// What whoever submitted a batch is told of it. It is there before the work begins, as there may be no memory in the
// end; so nothing that is left to do when a batch is done or given up takes any.
struct Answer {
  virtual ~Answer() = default;
  std::vector<FileResult> results;
  std::exception_ptr failure;
  int64_t failedFile = -1;  // among the batch's, if it was one's fault
};

struct Batch {
  std::unique_ptr<uint8_t[]> bytes;
  std::vector<Item> items;
  std::vector<FileResult> results;
  std::unique_ptr<Answer> answer;
  size_t unstored = 0;  // files whose storing is not finished
  size_t started = 0;   // items before this one were given to a thread (or need none)
  size_t drained = 0;   // items before this one are in the ordered hash
  int64_t failedFile = -1;
};

// A large file under way. The thread at the ordered hash reads it, and leaves what it read to the one at the file's
// fs-verity hash, so that both are of the same bytes, which are read once.
struct LargeFile {
  struct Piece {
    std::shared_ptr<uint8_t[]> data;
    size_t size;
  };

  LargeFile(std::shared_ptr<Batch> batch, Item& item, Algorithm algorithm)
      : batch(std::move(batch)), item(item), hasher(algorithm) {}

  std::shared_ptr<Batch> batch;
  Item& item;
  VerityHasher hasher;
  Outcome way = Outcome::Hashed;
  struct stat st = {};       // of the source
  OwnedFd object;            // clone or copy, not published yet
  OwnedFd clone;             // for reading, where the source is not trusted to stay as it is
  bool unshareable = false;  // copied, as the source must not be linked
  uint64_t read = 0;
  uint64_t hashed = 0;
  // With the pool's mutex held:
  std::deque<Piece> pieces;
  bool hashing = false;
};

// Some small files of one batch that a thread takes in one go.
struct Group {
  std::shared_ptr<Batch> batch;
  std::vector<size_t> items;
  uint64_t bytes = 0;
  std::shared_ptr<uint8_t[]> buffer;
  std::optional<std::chrono::steady_clock::time_point> leased;  // when one of its files was found under a lease
};

class Ingest;

// What a thread of the pool does next: the ordered hash, a large file's own hash, or a group of small files.
struct Job {
  struct Drain {};

  std::shared_ptr<Ingest> ingest;
  std::shared_ptr<SourceRead> reading;
  std::variant<Drain, std::shared_ptr<LargeFile>, Group> work;

  explicit operator bool() const { return ingest != nullptr; }
};

// Called on any thread when a batch is done or given up. It must not throw, and is called with the pool's mutex held.
using BatchDone = std::function<void(std::unique_ptr<Answer>)>;

class Ingest : public std::enable_shared_from_this<Ingest> {
 public:
  Ingest(std::shared_ptr<ObjectStore> store, TakePolicy policy, BatchDone done);
  void submit(std::shared_ptr<Batch> batch);
  void abort(const char* why) noexcept;
  // Fails when a call on the source has not returned for so long. The threads in such calls, and their descriptors, are
  // given up.
  void endSilence(std::chrono::milliseconds limit, const std::string& message);
  void digest(uint8_t out[32]) { sha_.finish(out); }
  // After a failure: takes those objects away that share a source's inode and have become wrong with it.
  void withdrawWrong();

  // For the pool, with its mutex held:
  Job takeJob();
  bool waitsForLease() const { return !failure_ && (!leased_.empty() || leasedLarge_); }
  bool idle() const { return batches_.empty() && running_ == 0; }
  // Bytes that are due in the ordered hash: no other thread can help with them, so those of whom most are due go first.
  uint64_t due() const { return due_; }
  bool urgent();
  // Nothing new is begun; and with `giveUp` those who wait are told, as soon as nothing is under way.
  void fail(std::exception_ptr reason);
  void giveUp(std::exception_ptr reason);
  // And without it; does not throw:
  void run(Job job);

 private:
  using Clock = std::chrono::steady_clock;
  // All with the pool's mutex held:
  std::shared_ptr<SourceRead> beginReading(std::shared_ptr<Batch> batch);
  void jobDone(const std::shared_ptr<SourceRead>& reading);
  void forsake(std::shared_ptr<Batch> batch);
  void tell(Batch& batch);
  Batch* drainHead();
  bool drainable();
  bool headOfLine(const Batch& batch, size_t item);
  void failLocked(std::exception_ptr error, Batch* batch, int64_t file);
  void settle();
  // Without it:
  void runDrain(const std::shared_ptr<SourceRead>& reading);
  void runGroup(Group group, const std::shared_ptr<SourceRead>& reading);
  void postpone(Group& group);
  void runLarge(std::shared_ptr<LargeFile> file, const std::shared_ptr<SourceRead>& reading);
  void readGroup(Group& group, SourceRead& reading, size_t& current);
  void readContent(Item& item, struct stat* st, uint8_t* content);
  void drainItem(Item& item, Batch& batch);
  void drainLarge(const std::shared_ptr<Batch>& batch, Item& item);
  void openSource(Item& item, struct stat* st);
  Outcome storeSmall(Item& item, const struct stat& st, const uint8_t* content, const Digest& digest);
  Outcome storeCopy(const uint8_t* content, uint64_t size, const Digest& digest, bool allowed);
  LinkResult link(Item& item, const struct stat& st, const Digest& digest);
  void openLarge(LargeFile& file);
  void hashPiece(LargeFile& file, const LargeFile::Piece& piece);
  void finishLarge(LargeFile& file, FileResult& result);
  Outcome copyLarge(LargeFile& file, const Digest& digest, bool allowed);
  void beginData(uint64_t size);
  void endData(FileResult& result);

  std::shared_ptr<ObjectStore> store_;
  TakePolicy policy_;
  BatchDone done_;
  Sha256 sha_;

  std::deque<std::shared_ptr<Batch>> batches_;
  size_t drainBatch_ = 0;  // batches before this one are through the ordered hash
  bool draining_ = false;
  uint64_t due_ = 0;
  std::shared_ptr<LargeFile> open_;               // the large file that the ordered hash is in
  std::deque<std::shared_ptr<LargeFile>> large_;  // those whose own hash is not finished
  size_t running_ = 0;
  size_t lost_ = 0;                                  // jobs of the running ones that were given up
  std::list<std::shared_ptr<SourceRead>> readings_;  // of the running ones
  std::exception_ptr failure_;
  std::deque<Group> leased_;                      // not read yet, because of a lease
  std::optional<Clock::time_point> leasedLarge_;  // since when the large file that is due is under one
  Clock::time_point nextTry_{};

  struct Linked {
    Digest digest;
    ino_t inode;
  };
  std::mutex linkedMutex_;
  std::vector<Linked> linked_;
  size_t linking_ = 0;

  struct Data {
    OwnedFd file;
    VerityHasher hasher;
    uint64_t expected, written = 0;
  };
  std::optional<Data> data_;
};

// A file can be shared in none of the ways that are allowed.
[[noreturn]] void failZeroCopy();
// Whether that is what was thrown for a file under a lease.
bool isLeased(const std::exception_ptr& error);

}  // namespace cfsbridge
