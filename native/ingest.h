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
constexpr size_t kBlocks = 16;                     // groups read and not yet in their layer's ordered hash
constexpr size_t kReadStep = 256 * 1024;

struct Item {
  enum class Kind : uint8_t { Bytes, Named, Open, Memory, DataBegin, Data, DataEnd };
  Kind kind;
  bool ready = false;      // content may be hashed in order (large files: `available` says how much)
  bool large = false;
  int dir = -1;
  OwnedFd fd;              // the source; for large files kept until the ordered hash is through
  OwnedFd copy;            // what the ordered hash reads instead, when the content is being copied
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  uint64_t available = 0;
  uint64_t hashed = 0;
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
  void failLocked(StoreError error, Batch* batch, int64_t file);
  void settle();
  // Without it:
  void runDrain();
  void runGroup(Group group);
  void runLarge(std::shared_ptr<Batch> batch, size_t index);
  void drainItem(Item& item, Batch& batch, uint64_t available);
  void openSource(Item& item, struct stat* st);
  Outcome storeSmall(Item& item, const struct stat& st, const uint8_t* content, const Digest& digest);
  Outcome storeCopy(const uint8_t* content, uint64_t size, const Digest& digest);
  Outcome takeLarge(Item& item, const struct stat& st, Digest& digest);
  Outcome copyLarge(Item& item, Digest& digest);
  void hashLarge(int fd, uint64_t size, Digest& digest);
  void beginData(uint64_t size);
  void endData(FileResult& result);
  bool stopped();

  std::shared_ptr<ObjectStore> store_;
  TakePolicy policy_;
  BatchDone done_;
  Sha256 sha_;

  std::deque<std::shared_ptr<Batch>> batches_;
  size_t drainBatch_ = 0;  // batches before this one are through the ordered hash
  bool draining_ = false;
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
  // A block of kGroupBytes that comes back by itself; null when as many are out as there may be, unless `urgent`.
  std::shared_ptr<uint8_t[]> block(bool urgent);

 private:
  Pool() = default;
  void start();
  void work();
  std::condition_variable wake_;
  std::list<std::shared_ptr<Ingest>> ingests_;
  std::vector<std::thread> threads_;
  std::mutex blockMutex_;
  std::vector<std::unique_ptr<uint8_t[]>> freeBlocks_;
  size_t blocksOut_ = 0;
  bool stop_ = false;
};

}  // namespace cfsbridge
