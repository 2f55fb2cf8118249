#include "check_objects.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "check_large.h"
#include "ingest.h"
#include "ingest_io.h"

namespace cfsbridge {
namespace {

// Files up to this size are hashed side by side, from one block that stays in the cache.
constexpr size_t kSmallFile = 128 * 1024;
constexpr size_t kBlockBytes = 512 * 1024;
constexpr size_t kFilesAtOnce = 64;
// Objects that several threads share, once all others are done.
constexpr uint64_t kSharedFile = 8 * 1024 * 1024;
// More would be open at the same time otherwise.
constexpr size_t kMostShared = 128;
constexpr unsigned kFolders = 256;
constexpr useconds_t kPause = 500;

constexpr std::array<int8_t, 256> makeHexValues() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (int i = 0; i < 16; i++) values[static_cast<size_t>("0123456789abcdef"[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kHexValues = makeHexValues();

// Lower-case hex of exactly `size` bytes.
bool parseHex(const std::string& text, size_t size, uint8_t* out) {
  if (text.size() != 2 * size) return false;
  int wrong = 0;
  for (size_t i = 0; i < size; i++) {
    const int high = kHexValues[static_cast<uint8_t>(text[2 * i])], low = kHexValues[static_cast<uint8_t>(text[2 * i + 1])];
    wrong |= high | low;
    out[i] = static_cast<uint8_t>(high << 4 | (low & 15));
  }
  return wrong >= 0;
}

std::string toHex(const uint8_t* bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; i++) text += {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
  return text;
}

std::string describe(int error) {
  const char* name = strerrorname_np(error);
  return std::string(name ? name : "EUNKNOWN") + ": " + strerror(error);
}

}  // namespace

struct ObjectCheck::Worker {
  explicit Worker(Algorithm algorithm) : hasher(algorithm), block(new uint8_t[kBlockBytes]) { waiting.reserve(kFilesAtOnce); }
  VerityHasher hasher;
  std::unique_ptr<uint8_t[]> block;
  size_t used = 0;
  std::vector<Waiting> waiting;
  // The filesystem of the current folder does not know fs-verity, so no file is asked for it.
  bool noVerity = false;
};

struct ObjectCheck::LargeFile : SharedDigest {
  LargeFile(Waiting file, Algorithm algorithm, uint64_t size) : SharedDigest(algorithm, size), file(std::move(file)) {}
  Waiting file;
};

ObjectCheck::ObjectCheck(int objects, CheckOptions options, const uint8_t* cancelled)
    : objects_(objects), options_(options), cancelled_(cancelled), folderIds_(kFolders) {}
ObjectCheck::~ObjectCheck() = default;

void ObjectCheck::run() {
  const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> others;
  for (unsigned i = 1; i < count; i++) others.emplace_back([this] { work(); });
  work();
  for (std::thread& thread : others) thread.join();
  if (failed_) throw failure_;
  for (const std::string& folder : folderIds_) ids += folder;
  // Whoever finished first must not decide the order.
  std::sort(defects.begin(), defects.end(), [](const ObjectDefect& a, const ObjectDefect& b) { return a.path < b.path; });
}

void ObjectCheck::work() {
  try {
    Worker worker(options_.algorithm);
    for (unsigned folder; !stopped() && (folder = nextFolder_++) < kFolders;) {
      checkFolder(worker, folder);
      foldersDone_++;
    }
    // Another thread may still come upon an object that is large enough to share.
    for (bool last = false; !last && !stopped();) {
      last = foldersDone_ == kFolders;
      hashSegments(worker);
      if (!last) usleep(kPause);
    }
  } catch (StoreError& error) {
    std::lock_guard lock(mutex_);
    if (!failed_) failure_ = std::move(error);
    failed_ = true;
  }
}

std::vector<ObjectCheck::Entry> ObjectCheck::list(unsigned folder, OwnedFd& dir) {
  const uint8_t first = static_cast<uint8_t>(folder);
  const std::string name = toHex(&first, 1);
  dir.reset(openat(objects_, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir) {
    if (errno == ENOTDIR || errno == ELOOP) report(name, ObjectDefect::Kind::InvalidName, "");
    else if (errno != ENOENT) failErrno(errno, "cannot open objects/" + name);
    return {};
  }
  // fdopendir owns its descriptor; ours outlives it, for the files.
  const int listed = fcntl(dir.get(), F_DUPFD_CLOEXEC, 3);
  std::unique_ptr<DIR, int (*)(DIR*)> entries(listed < 0 ? nullptr : fdopendir(listed), closedir);
  if (!entries) failErrno(errno, "cannot read objects/" + name);
  std::vector<Entry> found;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(entries.get());
    if (!entry) break;
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) found.push_back({entry->d_name, entry->d_ino, {}});
  }
  if (errno) failErrno(errno, "cannot read objects/" + name);
  return found;
}

void ObjectCheck::checkFolder(Worker& worker, unsigned folder) {
  OwnedFd dir;
  std::vector<Entry> entries = list(folder, dir);
  const uint8_t first = static_cast<uint8_t>(folder);
  const std::string prefix = toHex(&first, 1) + "/";
  const size_t rest = digestSize(options_.algorithm) - 1;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  std::string& known = folderIds_[folder];
  std::vector<const Entry*> objects;
  for (Entry& entry : entries) {
    entry.digest[0] = first;
    if (parseHex(entry.name, rest, entry.digest.data() + 1)) {
      known.append(reinterpret_cast<char*>(entry.digest.data()), rest + 1);
      objects.push_back(&entry);
    } else {
      report(prefix + entry.name, ObjectDefect::Kind::InvalidName, "");
    }
  }
  if (options_.namesOnly) return;
  // On a disk, neighbours in number are neighbours in place.
  std::sort(objects.begin(), objects.end(), [](const Entry* a, const Entry* b) { return a->inode < b->inode; });
  worker.noVerity = false;
  for (const Entry* entry : objects) {
    if (stopped()) return;
    checkEntry(worker, dir.get(), prefix + entry->name, *entry);
  }
  hashWaiting(worker);
}

void ObjectCheck::checkEntry(Worker& worker, int dir, const std::string& path, const Entry& entry) {
  OwnedFd fd(openat(dir, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat st;
  if (!fd || fstat(fd.get(), &st) < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) failErrno(errno, "cannot open objects/" + path);
    return report(path, ObjectDefect::Kind::Open, errno == ELOOP ? "a symlink" : describe(errno));
  }
  if (!S_ISREG(st.st_mode)) return report(path, ObjectDefect::Kind::Open, "not a regular file");
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  Waiting file{std::move(fd), path, entry.digest, 0, 0};
  if (measured(worker, file.fd.get(), path, file.expected)) return readThrough(worker, file, size);
  if (!worker.noVerity && options_.verityRequired) return;  // measured() has said why
  if (size > kSharedFile) {
    std::lock_guard lock(mutex_);
    if (large_.size() < kMostShared) {
      large_.push_back(std::make_unique<LargeFile>(std::move(file), options_.algorithm, size));
      return;
    }
  }
  if (size > kSmallFile) return stream(worker, file, size);
  if (worker.used + size > kBlockBytes || worker.waiting.size() == kFilesAtOnce) hashWaiting(worker);
  file.offset = worker.used;
  try {
    readExactly(file.fd.get(), worker.block.get() + worker.used, size, 0);
  } catch (StoreError& error) {
    return report(path, ObjectDefect::Kind::Verity, error.message);
  }
  file.length = size;
  file.fd.reset();
  worker.used += size;
  worker.waiting.push_back(std::move(file));
}

// Whether the kernel vouches for the content by the right digest. What it says otherwise is reported where fs-verity is
// required; elsewhere the content decides.
bool ObjectCheck::measured(Worker& worker, int fd, const std::string& path, const Digest& expected) {
  if (worker.noVerity && !options_.verityRequired) return false;
  alignas(fsverity_digest) uint8_t space[sizeof(fsverity_digest) + 64] = {};
  auto* measured = reinterpret_cast<fsverity_digest*>(space);
  measured->digest_size = 64;
  const size_t size = digestSize(options_.algorithm);
  if (ioctl(fd, FS_IOC_MEASURE_VERITY, measured) == 0) {
    if (measured->digest_size == size && memcmp(measured->digest, expected.data(), size) == 0) return true;
    if (options_.verityRequired) report(path, ObjectDefect::Kind::Mismatch, toHex(measured->digest, measured->digest_size));
    return false;
  }
  if (errno == ENOTTY || errno == EOPNOTSUPP) worker.noVerity = true;
  if (!options_.verityRequired) return false;
  worker.noVerity = false;
  if (errno == ENODATA || errno == ENOTTY || errno == EOPNOTSUPP) report(path, ObjectDefect::Kind::NoVerity, "");
  else report(path, ObjectDefect::Kind::Verity, describe(errno));
  return false;
}

void ObjectCheck::hashWaiting(Worker& worker) {
  VerityJob jobs[kFilesAtOnce];
  const size_t count = worker.waiting.size();
  for (size_t i = 0; i < count; i++) jobs[i] = {worker.block.get() + worker.waiting[i].offset, worker.waiting[i].length, {}};
  verityBatch(options_.algorithm, jobs, count);
  for (size_t i = 0; i < count; i++) compare(worker.waiting[i].path, worker.waiting[i].expected, jobs[i].digest);
  worker.waiting.clear();
  worker.used = 0;
}

void ObjectCheck::stream(Worker& worker, Waiting& file, uint64_t size) {
  uint8_t digest[64];
  uint8_t* buffer = readBuffer();
  try {
    for (uint64_t offset = 0; offset < size && !stopped();) {
      const size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, size - offset));
      readExactly(file.fd.get(), buffer, step, offset);
      worker.hasher.update(buffer, step);
      offset += step;
    }
  } catch (StoreError& error) {
    worker.hasher.finish(digest);
    return report(file.path, ObjectDefect::Kind::Verity, error.message);
  }
  worker.hasher.finish(digest);
  if (!stopped()) compare(file.path, file.expected, digest);
}

// The kernel checks each block when it is read: a damaged one cannot be.
void ObjectCheck::readThrough(Worker&, Waiting& file, uint64_t size) {
  uint8_t* buffer = readBuffer();
  try {
    for (uint64_t offset = 0; offset < size && !stopped(); offset += kReadStep)
      readExactly(file.fd.get(), buffer, static_cast<size_t>(std::min<uint64_t>(kReadStep, size - offset)), offset);
  } catch (StoreError& error) {
    report(file.path, ObjectDefect::Kind::Verity, error.message);
  }
}

// Takes pieces of the large objects that were found so far until there are none left.
void ObjectCheck::hashSegments(Worker& worker) {
  for (size_t index = 0;; index++) {
    LargeFile* file;
    {
      std::lock_guard lock(mutex_);
      if (index >= large_.size()) return;
      file = large_[index].get();
    }
    for (uint64_t number; !stopped() && (number = file->next++) < file->segments();) hashSegment(worker, *file, number);
  }
}

void ObjectCheck::hashSegment(Worker&, LargeFile& file, uint64_t number) {
  try {
    file.hash(number, file.file.fd.get(), readBuffer());
  } catch (StoreError& error) {
    std::lock_guard lock(mutex_);
    file.error = error.message;
  }
  if (++file.done == file.segments()) finishLarge(file);
}

void ObjectCheck::finishLarge(LargeFile& file) {
  file.file.fd.reset();
  std::string error;
  {
    std::lock_guard lock(mutex_);
    error = file.error;
  }
  if (!error.empty()) return report(file.file.path, ObjectDefect::Kind::Verity, error);
  uint8_t digest[64];
  file.finish(digest);
  compare(file.file.path, file.file.expected, digest);
}

void ObjectCheck::compare(const std::string& path, const Digest& expected, const uint8_t* actual) {
  const size_t size = digestSize(options_.algorithm);
  if (memcmp(expected.data(), actual, size) != 0) report(path, ObjectDefect::Kind::Mismatch, toHex(actual, size));
}

void ObjectCheck::report(std::string path, ObjectDefect::Kind kind, std::string detail) {
  std::lock_guard lock(mutex_);
  defects.push_back({std::move(path), kind, std::move(detail)});
}

}  // namespace cfsbridge
