// One layer on its way into the object store: its pieces in tar order, hashed twice. SHA-256 over all bytes runs
// in order (the diff_id); fs-verity digests and storing of files run ahead of it, several at a time.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "object_store.h"
#include "verity.h"

namespace cfsbridge {

constexpr uint64_t kSmallLimit = 64;               // content up to here is handed back instead of stored
constexpr uint64_t kLargeFile = 512 * 1024;        // above: never in memory whole
constexpr uint64_t kGroupBytes = kLargeFile;       // small files handled by one thread in one go
constexpr size_t kGroupFiles = 64;
constexpr size_t kBlocksPerThread = 3;           // groups read and not yet in their layer's ordered hash
constexpr size_t kPiecesAhead = 6;                 // pieces of a large file in the ordered hash and not yet in its own

struct LargeFile;

struct Item {
  enum class Kind : uint8_t { Bytes, Named, Open, Memory, DataBegin, Data, DataEnd };
  Kind kind;
  bool ready = false;      // content may be hashed in order
  bool large = false;      // read when the ordered hash comes to it
  int dir = -1;
  OwnedFd fd;
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  std::string_view name;
  size_t result = 0;
  std::shared_ptr<uint8_t[]> buffer;

  bool isFile() const { return kind == Kind::Named || kind == Kind::Open || kind == Kind::Memory; }
};

struct FileResult {
  Outcome outcome = Outcome::Hashed;
  uint8_t length = 0;
  Digest bytes{};  // the digest, or the content of a small file
};

struct Batch {
  std::unique_ptr<uint8_t[]> bytes;
  std::vector<Item> items;
  std::vector<FileResult> results;
  size_t unstored = 0;   // files whose storing is not finished
  size_t started = 0;    // items before this one were given to a thread (or need none)
  size_t drained = 0;    // items before this one are in the ordered hash
  uint64_t id = 0;
  int64_t failedFile = -1;
};

// A large file under way. The thread at the ordered hash reads it, and leaves what it read to the one at the file's fs-verity
// hash, so that both are of the same bytes, which are read once.
struct LargeFile {
  struct Piece {
    std::shared_ptr<uint8_t[]> data;
    size_t size;
  };

  LargeFile(std::shared_ptr<Batch> batch, Item& item, Algorithm algorithm) : batch(std::move(batch)), item(item), hasher(algorithm) {}

  std::shared_ptr<Batch> batch;
  Item& item;
  VerityHasher hasher;
  Outcome way = Outcome::Hashed;
  struct stat st = {};     // of the source
  OwnedFd object;          // clone or copy, not published yet
  OwnedFd clone;           // for reading, where the source is not trusted to stay as it is
  uint64_t read = 0;
  uint64_t hashed = 0;
  // With the pool's mutex held:
  std::deque<Piece> pieces;
  bool hashing = false;
};

class Pool;

// Called on a pool thread when a batch is done or given up.
using BatchDone = std::function<void(std::shared_ptr<Batch>, std::optional<StoreError>)>;

class Ingest : public std::enable_shared_from_this<Ingest> {
 public:
  Ingest(std::shared_ptr<ObjectStore> store, TakePolicy policy, BatchDone done);
  void submit(std::shared_ptr<Batch> batch);
  void abort(StoreError reason);
  void digest(uint8_t out[32]) { sha_.finish(out); }

 private:
  friend class Pool;
  struct Group {
    std::shared_ptr<Batch> batch;
    std::vector<size_t> items;
    uint64_t bytes = 0;
    std::shared_ptr<uint8_t[]> buffer;
  };
  // All with the pool's mutex held:
  std::function<void()> takeJob();
  Batch* drainHead();
  bool drainable();
  bool headOfLine(const Batch& batch, size_t item);
  // Bytes that are due in the ordered hash: no other thread can help with them, so those of whom most are due go first.
  uint64_t due() const { return due_; }
  bool urgent();
  void failLocked(StoreError error, Batch* batch, int64_t file);
  void settle();
  // Without it:
  void runDrain();
  void runGroup(Group group);
  void runLarge(std::shared_ptr<LargeFile> file);
  void drainItem(Item& item, Batch& batch);
  void drainLarge(const std::shared_ptr<Batch>& batch, Item& item);
  void openSource(Item& item, struct stat* st);
  Outcome storeSmall(Item& item, const struct stat& st, const uint8_t* content, const Digest& digest);
  Outcome storeCopy(const uint8_t* content, uint64_t size, const Digest& digest);
  void openLarge(LargeFile& file);
  void hashPiece(LargeFile& file, const LargeFile::Piece& piece);
  void finishLarge(LargeFile& file, FileResult& result);
  Outcome copyLarge(LargeFile& file, const Digest& digest);
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
  std::shared_ptr<LargeFile> open_;                 // the large file that the ordered hash is in
  std::deque<std::shared_ptr<LargeFile>> large_;    // those whose own hash is not finished
  size_t running_ = 0;
  std::optional<StoreError> failure_;

  struct Data {
    OwnedFd file;
    VerityHasher hasher;
    uint64_t expected, written = 0;
  };
  std::optional<Data> data_;
};

// The threads. One lock guards all scheduling; jobs are coarse, so it is rarely contended.
class Pool {
 public:
  static Pool& shared();
  ~Pool();
  void addLocked(std::shared_ptr<Ingest> ingest);  // with the mutex held
  void stop();

  std::mutex mutex;
  void wake() { wake_.notify_all(); }
  // Whether a layer with more to hash in order has something to do.
  bool urgentBefore(const Ingest& ingest);  // with the mutex held
  // A block of kGroupBytes that comes back by itself; null when as many are out as there may be, unless `urgent`.
  std::shared_ptr<uint8_t[]> block(bool urgent);

 private:
  Pool();
  void start();
  void work();
  std::condition_variable wake_;
  std::list<std::shared_ptr<Ingest>> ingests_;
  const unsigned count_;  // of threads
  std::vector<std::thread> threads_;
  std::mutex blockMutex_;
  std::vector<std::unique_ptr<uint8_t[]>> freeBlocks_;
  size_t blocksOut_ = 0;
  bool stop_ = false;
};

}  // namespace cfsbridge
