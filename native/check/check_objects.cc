#include "check/check_objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <tuple>

#include "base/file_io.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/threads.h"
#include "check/check_large.h"
#include "hash/kernel_verity.h"

namespace cfsbridge {
namespace {

// There is always room for one more small file, and for the byte that says that it is larger.
constexpr size_t kBlockRoom = kCheckBlockBytes + kCheckSmallFile + 1;
constexpr size_t kFilesAtOnce = 64;
// Objects that several threads share, once all others are done.
constexpr uint64_t kSharedFile = 8 * 1024 * 1024;
// More would be open at the same time otherwise.
constexpr size_t kMostShared = 128;
constexpr unsigned kFolders = 256;
constexpr useconds_t kPause = 500;

}  // namespace

struct ObjectCheck::Worker {
  explicit Worker(Algorithm algorithm) : hasher(algorithm), block(new uint8_t[kBlockRoom]) {
    waiting.reserve(kFilesAtOnce);
  }
  VerityHasher hasher;
  std::unique_ptr<uint8_t[]> block;
  size_t used = 0;
  std::vector<Waiting> waiting;
  // kReadStep bytes of larger files.
  uint8_t* step() {
    if (!step_) step_.reset(new uint8_t[kReadStep]);
    return step_.get();
  }
  // The filesystem of the current folder does not know fs-verity, so no file is asked for it.
  bool noVerity = false;

 private:
  std::unique_ptr<uint8_t[]> step_;
};

struct ObjectCheck::LargeFile : SharedDigest {
  LargeFile(Waiting file, Algorithm algorithm, uint64_t size) : SharedDigest(algorithm, size), file(std::move(file)) {}
  Waiting file;
};

ObjectCheck::ObjectCheck(int objects, ListedObjects listed, CheckOptions options, CancelFlag cancelled)
    : objects_(objects), listed_(listed), options_(std::move(options)), cancelled_(cancelled) {}
ObjectCheck::~ObjectCheck() = default;

void ObjectCheck::run() {
  runOnThreads(std::thread::hardware_concurrency(), [this] { work(); });
  failure_.rethrow();
  // The order must not depend on which thread finished first.
  std::sort(defects.begin(), defects.end(), [](const ObjectDefect& a, const ObjectDefect& b) {
    return std::tie(a.path, a.kind) < std::tie(b.path, b.kind);
  });
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
  } catch (...) {
    failure_.keep();
  }
}

void ObjectCheck::checkFolder(Worker& worker, unsigned folder) {
  const size_t size = digestSize(options_.algorithm);
  const auto startOf = [&](unsigned first) {
    size_t low = 0, high = listed_.count;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (listed_.ids[middle * size] < first)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  };
  const size_t start = startOf(folder), end = startOf(folder + 1);
  if (start == end) return;
  std::vector<size_t> order(end - start);
  for (size_t i = 0; i < order.size(); i++) order[i] = start + i;
  std::sort(order.begin(), order.end(),
            [this](size_t a, size_t b) { return listed_.places[a].value < listed_.places[b].value; });

  const uint8_t first = static_cast<uint8_t>(folder);
  const std::string name = toHex(&first, 1);
  OwnedFd dir(openat(objects_, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir) failErrno(errno, "cannot open objects/" + name);
  worker.noVerity = false;
  for (size_t index : order) {
    if (stopped()) return;
    checkEntry(worker, dir.get(), index);
  }
  hashWaiting(worker);
}

void ObjectCheck::checkEntry(Worker& worker, int dir, size_t index) {
  const uint8_t* expected = listed_.ids + index * digestSize(options_.algorithm);
  Waiting file{OwnedFd(openat(dir, nameOf(expected).c_str() + 3, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)),
               expected, 0, 0};
  if (!file.fd) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
      failErrno(errno, "cannot open objects/" + nameOf(expected));
    return report(expected, Defect::Open, errno == ELOOP ? "a symlink" : describeErrno(errno));
  }
  struct stat st;
  if (listed_.places[index].value & ObjectPlace::kOdd && !isRegular(file.fd.get(), expected, st)) return;
  const bool sealed = measured(worker, file.fd.get(), expected);
  checkSharing(file.fd.get(), expected, sealed);
  if (sealed) return readThrough(worker, file);
  if (!worker.noVerity && options_.verityRequired) return;  // measured() has said why
  readSmall(worker, std::move(file));
}

bool ObjectCheck::isRegular(int fd, const uint8_t* expected, struct stat& st) {
  if (fstat(fd, &st) < 0)
    report(expected, Defect::Open, describeErrno(errno));
  else if (!S_ISREG(st.st_mode))
    report(expected, Defect::Open, "not a regular file");
  else
    return true;
  return false;
}

// Right as its content may be now: whether somebody else can change it, or execute it with more rights than his own.
void ObjectCheck::checkSharing(int fd, const uint8_t* expected, bool sealed) {
  struct stat st;
  if (fstat(fd, &st) < 0) return report(expected, Defect::Open, describeErrno(errno));
  const SharingFault fault = options_.sharing.check(fd, st, sealed);
  if (fault != SharingFault::None) report(expected, Defect::Unsafe, describe(fault, st));
}

// Most objects are small: they are read without asking for the size.
void ObjectCheck::readSmall(Worker& worker, Waiting file) {
  if (worker.used > kCheckBlockBytes || worker.waiting.size() == kFilesAtOnce) hashWaiting(worker);
  const ssize_t length = pread(file.fd.get(), worker.block.get() + worker.used, kCheckSmallFile + 1, 0);
  if (length < 0 || static_cast<size_t>(length) > kCheckSmallFile) return checkRest(worker, std::move(file));
  file.fd.reset();
  file.offset = worker.used;
  file.length = static_cast<size_t>(length);
  worker.used += file.length;
  worker.waiting.push_back(std::move(file));
}

// Checks an object of any size, or says why it cannot be read.
void ObjectCheck::checkRest(Worker& worker, Waiting file) {
  struct stat st;
  if (!isRegular(file.fd.get(), file.expected, st)) return;
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  if (size > kSharedFile) {
    std::lock_guard lock(mutex_);
    if (large_.size() < kMostShared) {
      large_.push_back(std::make_unique<LargeFile>(std::move(file), options_.algorithm, size));
      return;
    }
  }
  stream(worker, file, size);
}

// Whether the kernel vouches for the content by the right digest. What it says otherwise is reported where fs-verity is
// required; elsewhere the content decides.
bool ObjectCheck::measured(Worker& worker, int fd, const uint8_t* expected) {
  if (worker.noVerity && !options_.verityRequired) return false;
  Digest measured;
  if (const size_t size = measureVerity(fd, measured)) {
    if (size == digestSize(options_.algorithm) && isExpected(expected, measured.data())) return true;
    if (options_.verityRequired) report(expected, Defect::Mismatch, toHex(measured.data(), size));
    return false;
  }
  if (errno == ENOTTY || errno == EOPNOTSUPP) worker.noVerity = true;
  if (!options_.verityRequired) return false;
  worker.noVerity = false;
  if (errno == ENODATA || errno == ENOTTY || errno == EOPNOTSUPP)
    report(expected, Defect::NoVerity, "");
  else
    report(expected, Defect::Verity, describeErrno(errno));
  return false;
}

void ObjectCheck::hashWaiting(Worker& worker) {
  VerityJob jobs[kFilesAtOnce];
  const size_t count = worker.waiting.size();
  for (size_t i = 0; i < count; i++)
    jobs[i] = {worker.block.get() + worker.waiting[i].offset, worker.waiting[i].length, {}};
  verityBatch(options_.algorithm, jobs, count);
  std::vector<const uint8_t*> wrong;
  for (size_t i = 0; i < count; i++)
    if (!isExpected(worker.waiting[i].expected, jobs[i].digest)) wrong.push_back(worker.waiting[i].expected);
  worker.waiting.clear();
  worker.used = 0;
  // Where a disk fails a file seems to end. Reading it to the end tells what is wrong.
  for (const uint8_t* expected : wrong) {
    OwnedFd folder(
        openat(objects_, nameOf(expected).substr(0, 2).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    Waiting file{
        OwnedFd(openat(folder.get(), nameOf(expected).c_str() + 3, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)),
        expected, 0, 0};
    if (file.fd)
      checkRest(worker, std::move(file));
    else
      report(expected, Defect::Open, describeErrno(errno));
  }
}

void ObjectCheck::stream(Worker& worker, const Waiting& file, uint64_t size) {
  uint8_t digest[64];
  uint8_t* buffer = worker.step();
  try {
    for (uint64_t offset = 0; offset < size && !stopped();) {
      const size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, size - offset));
      readExactly(file.fd.get(), buffer, step, offset);
      worker.hasher.update(buffer, step);
      offset += step;
    }
  } catch (StoreError& error) {
    worker.hasher.finish(digest);
    return report(file.expected, Defect::Verity, error.message);
  }
  worker.hasher.finish(digest);
  if (!stopped()) compare(file.expected, digest);
}

// The kernel checks each block when it is read: a damaged one cannot be.
void ObjectCheck::readThrough(Worker& worker, const Waiting& file) {
  struct stat st;
  if (!isRegular(file.fd.get(), file.expected, st)) return;
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  uint8_t* buffer = worker.step();
  try {
    for (uint64_t offset = 0; offset < size && !stopped(); offset += kReadStep)
      readExactly(file.fd.get(), buffer, static_cast<size_t>(std::min<uint64_t>(kReadStep, size - offset)), offset);
  } catch (StoreError& error) {
    report(file.expected, Defect::Verity, error.message);
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

void ObjectCheck::hashSegment(Worker& worker, LargeFile& file, uint64_t number) {
  try {
    file.hash(number, file.file.fd.get(), worker.step());
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
  if (!error.empty()) return report(file.file.expected, Defect::Verity, error);
  uint8_t digest[64];
  file.finish(digest);
  compare(file.file.expected, digest);
}

bool ObjectCheck::isExpected(const uint8_t* expected, const uint8_t* actual) const {
  return memcmp(expected, actual, digestSize(options_.algorithm)) == 0;
}

void ObjectCheck::compare(const uint8_t* expected, const uint8_t* actual) {
  if (!isExpected(expected, actual)) report(expected, Defect::Mismatch, toHex(actual, digestSize(options_.algorithm)));
}

void ObjectCheck::report(const uint8_t* expected, Defect kind, std::string detail) {
  std::lock_guard lock(mutex_);
  defects.push_back({nameOf(expected), kind, std::move(detail)});
}

std::string ObjectCheck::nameOf(const uint8_t* expected) const {
  return toHex(expected, 1) + "/" + toHex(expected + 1, digestSize(options_.algorithm) - 1);
}

}  // namespace cfsbridge
