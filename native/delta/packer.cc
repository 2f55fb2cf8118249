#include "delta/packer.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/file_io.h"
#include "base/hex.h"
#include "base/layouts.h"
#include "base/limits.h"
#include "base/op_reader.h"
#include "base/threads.h"
#include "delta/frame_packer.h"
#include "delta/similar.h"

namespace cfsbridge {
namespace {

constexpr uint8_t kMagic[] = {'t', 'a', 'r', 'd', 'f', '1', '\n', '\0'};
constexpr size_t kMagicVersion = 5;
// What one operation of plain data holds at most: as much as other producers give it.
constexpr uint64_t kDataPiece = 4 << 20;

// Lets threads have sources in memory as long as all of them are not too much; one may have any.
class SourceRoom {
 public:
  void enter(uint64_t size) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return taken_ == 0 || taken_ + size <= kSourcesInMemory; });
    taken_ += size;
  }
  void leave(uint64_t size) {
    const std::lock_guard lock(mutex_);
    taken_ -= size;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t taken_ = 0;
};

class Admission {
 public:
  Admission(SourceRoom& room, uint64_t size) : room_(room), size_(size) { room_.enter(size_); }
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission() { room_.leave(size_); }

 private:
  SourceRoom& room_;
  const uint64_t size_;
};

std::unique_ptr<uint8_t[]> readPart(int objects, std::string_view name, uint64_t offset, uint64_t size) {
  const OwnedFd file = openBeneath(objects, name);
  std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
  readExactly(file.get(), bytes.get(), size, offset);
  return bytes;
}

// The content of a whole object, which it must be: others will be told to have it.
std::unique_ptr<uint8_t[]> readObject(int objects, std::string_view name, uint64_t size, Algorithm algorithm) {
  auto bytes = readPart(objects, name, 0, size);
  VerityHasher hasher(algorithm);
  hasher.update(bytes.get(), size);
  uint8_t digest[64];
  hasher.finish(digest);
  std::string path = toHex(digest, digestSize(algorithm));
  path.insert(2, 1, '/');
  if (path != name) fail("SOURCE_CHANGED", "object " + std::string(name) + " is damaged");
  return bytes;
}

}  // namespace

struct PatchPacker::Item {
  PatchOperation kind;
  // Raw: the operations.
  const uint8_t* bytes = nullptr;
  // Of the file's content; of the bytes, for Raw.
  uint64_t size = 0;
  uint64_t offset = 0;
  std::string_view name;
  std::string_view source;
  uint64_t sourceSize = 0;
  // What it was packed to; nothing: it is plain data.
  std::optional<std::vector<uint8_t>> packed;
};

PatchPacker::PatchPacker(OwnedFd objects, OwnedFd out, PackSettings settings)
    : objects_(std::move(objects)),
      settings_(settings),
      stream_(std::make_unique<PatchStream>(std::move(out), settings.level, settings.threads)) {
  uint8_t magic[sizeof kMagic];
  std::copy(std::begin(kMagic), std::end(kMagic), magic);
  if (settings.frames) magic[kMagicVersion]++;
  stream_->writeMagic(magic, sizeof magic);
  for (unsigned i = 0; i < settings.threads; i++) workers_.push_back(std::make_unique<FramePacker>(settings.level));
}
PatchPacker::~PatchPacker() = default;

uint64_t PatchPacker::size() const { return stream_->size(); }

void PatchPacker::pack(const uint8_t* operations, size_t size, const CancelFlag& cancelled) {
  std::vector<Item> items;
  OpReader ops(operations, size);
  const auto name = [&] {
    const size_t length = ops.number<uint16_t>();
    return std::string_view(reinterpret_cast<const char*>(ops.bytes(length)), length);
  };
  while (!ops.done()) {
    Item item{static_cast<PatchOperation>(ops.number<uint8_t>())};
    switch (item.kind) {
      case PatchOperation::Raw:
        item.size = ops.number<uint32_t>();
        item.bytes = ops.bytes(item.size);
        break;
      case PatchOperation::Changed:
        item.sourceSize = ops.number<uint64_t>();
        item.source = name();
        [[fallthrough]];
      case PatchOperation::Content:
        item.offset = ops.number<uint64_t>();
        item.size = ops.number<uint64_t>();
        item.name = name();
        break;
      default:
        fail("INVALID_BATCH", "unknown operation");
    }
    items.push_back(std::move(item));
  }
  packChanged(items, cancelled);
  for (const Item& item : items) {
    if (item.kind == PatchOperation::Raw)
      stream_->write(item.bytes, item.size);
    else if (item.packed)
      stream_->write(item.packed->data(), item.packed->size());
    else
      writeContent(item, cancelled);
  }
}

void PatchPacker::packChanged(std::vector<Item>& items, const CancelFlag& cancelled) {
  std::vector<Item*> changed;
  for (Item& item : items)
    if (item.kind == PatchOperation::Changed) changed.push_back(&item);
  // The longest first, so that no thread has one left when the others are done.
  std::stable_sort(changed.begin(), changed.end(), [](const Item* a, const Item* b) { return a->size > b->size; });
  SourceRoom room;
  FirstFailure failure;
  std::atomic<size_t> next{0};
  std::atomic<unsigned> worker{0};
  const auto packOne = [&](Item& item, FramePacker& frames) {
    const Admission admission(room, item.sourceSize);
    const auto source = readObject(objects_.get(), item.source, item.sourceSize, settings_.algorithm);
    const auto target = readPart(objects_.get(), item.name, item.offset, item.size);
    if (!settings_.frames) {
      item.packed = encodeSimilar(source.get(), item.sourceSize, target.get(), item.size);
      return;
    }
    auto frame = frames.pack(source.get(), item.sourceSize, target.get(), item.size, cancelled);
    if (!frame) return;
    item.packed.emplace();
    appendOp(*item.packed, PatchOp::ZstdDict, frame->size());
    item.packed->insert(item.packed->end(), frame->begin(), frame->end());
  };
  runOnThreads(static_cast<unsigned>(std::min<size_t>(settings_.threads, changed.size())), [&] {
    try {
      FramePacker& frames = *workers_[worker++];
      for (size_t i; (i = next++) < changed.size() && !failure.happened();) {
        if (cancelled.isSet()) throw SystemError{ECANCELED, "compress", ""};
        packOne(*changed[i], frames);
      }
    } catch (...) {
      failure.keep();
    }
  });
  failure.rethrow();
}

void PatchPacker::writeContent(const Item& item, const CancelFlag& cancelled) {
  const OwnedFd file = openBeneath(objects_.get(), item.name);
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadStep]);
  for (uint64_t done = 0; done < item.size;) {
    const uint64_t piece = std::min(item.size - done, kDataPiece);
    std::vector<uint8_t> head;
    appendOp(head, PatchOp::Data, piece);
    stream_->write(head.data(), head.size());
    for (const uint64_t end = done + piece; done < end;) {
      if (cancelled.isSet()) throw SystemError{ECANCELED, "pread", ""};
      const uint64_t step = std::min<uint64_t>(end - done, kReadStep);
      readExactly(file.get(), buffer.get(), step, item.offset + done);
      stream_->write(buffer.get(), step);
      done += step;
    }
  }
}

void PatchPacker::finish(const CancelFlag& cancelled) {
  if (cancelled.isSet()) throw SystemError{ECANCELED, "compress", ""};
  stream_->finish(digest_);
}

}  // namespace cfsbridge
