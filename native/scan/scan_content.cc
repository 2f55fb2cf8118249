// The content of a scanned folder's files: small ones are read, larger ones hashed and, when asked for, stored.
#include <fcntl.h>

#include <cstring>

#include "base/file_io.h"
#include "scan/scan.h"

namespace cfsbridge {
namespace {

void readAll(int fd, uint8_t* into, uint64_t size, uint64_t offset) {
  const int64_t got = readFully(fd, into, size, offset);
  if (got < 0) throw ScanFailure{errno, "", "cannot read a file", ""};
  if (static_cast<uint64_t>(got) < size)
    throw ScanFailure{0, "SOURCE_CHANGED", "the file became shorter while it was read", ""};
}

bool isContent(const ScanEntry& entry) {
  return S_ISREG(entry.st.st_mode) && entry.st.st_size > 0 && entry.kind == ScanData::None;
}

}  // namespace

void FolderScan::scheduleFiles(std::shared_ptr<OwnedFd> dir, Directory& directory) {
  std::vector<size_t> group;
  uint64_t bytes = 0;
  const auto flush = [&] {
    if (group.empty()) return;
    push([this, dir, &directory, group = std::move(group)] { takeGroup(dir->get(), directory, group); });
    group = {};
    bytes = 0;
  };
  for (size_t i = 0; i < directory.entries.size(); i++) {
    ScanEntry& entry = directory.entries[i];
    if (!isContent(entry)) continue;
    const uint64_t size = static_cast<uint64_t>(entry.st.st_size);
    if (size > kScanLargeFile) {
      push([this, dir, &directory, i] {
        ScanEntry& large = directory.entries[i];
        try {
          takeLarge(dir->get(), large);
        } catch (ScanFailure& failure) {
          failure.path = directory.path + "/" + large.name;
          throw;
        }
      });
      continue;
    }
    if (group.size() == kScanGroupFiles || (!group.empty() && bytes + size > kScanGroupBytes)) flush();
    group.push_back(i);
    bytes += size;
  }
  flush();
}

OwnedFd FolderScan::openFile(int dir, ScanEntry& entry) {
  OwnedFd file(openat(dir, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) throw ScanFailure{errno, "", "cannot open a file", ""};
  struct stat now;
  if (fstat(file.get(), &now) < 0) throw ScanFailure{errno, "", "cannot stat a file", ""};
  if (now.st_ino != entry.st.st_ino || now.st_dev != entry.st.st_dev || now.st_size != entry.st.st_size)
    throw ScanFailure{0, "SOURCE_CHANGED", "the file changed while the folder was read", ""};
  return file;
}

void FolderScan::takeGroup(int dir, Directory& directory, const std::vector<size_t>& files) {
  uint64_t total = 0;
  for (size_t i : files) total += static_cast<uint64_t>(directory.entries[i].st.st_size);
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[total]);
  std::vector<VerityJob> jobs;
  std::vector<OwnedFd> sources;
  const bool keepOpen = options_.store != nullptr;
  size_t current = 0;
  try {
    uint64_t offset = 0;
    for (; current < files.size(); current++) {
      ScanEntry& entry = directory.entries[files[current]];
      const uint64_t size = static_cast<uint64_t>(entry.st.st_size);
      OwnedFd file = openFile(dir, entry);
      readAll(file.get(), buffer.get() + offset, size, 0);
      if (size > kScanInlineLimit) {
        jobs.push_back({buffer.get() + offset, size, {}});
        if (keepOpen) sources.push_back(std::move(file));
      } else {
        entry.kind = ScanData::Inline;
        entry.data.assign(reinterpret_cast<char*>(buffer.get() + offset), size);
      }
      offset += size;
    }
    verityBatch(options_.algorithm, jobs.data(), jobs.size());
    size_t job = 0;
    for (current = 0; current < files.size(); current++) {
      ScanEntry& entry = directory.entries[files[current]];
      if (entry.kind == ScanData::Inline) continue;
      Digest digest{};
      memcpy(digest.data(), jobs[job].digest, digestSize(options_.algorithm));
      if (keepOpen) storeContent(sources[job].get(), entry.st, static_cast<const uint8_t*>(jobs[job].data), digest);
      entry.kind = ScanData::Digest;
      entry.data.assign(reinterpret_cast<char*>(digest.data()), digestSize(options_.algorithm));
      job++;
    }
  } catch (ScanFailure& failure) {
    failure.path = directory.path + "/" + directory.entries[files[current]].name;
    throw;
  }
}

void FolderScan::storeContent(int source, const struct stat& st, const uint8_t* content, const Digest& digest) {
  ObjectStore& store = *options_.store;
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  if (store.presentAndRight(digest, size, &st)) return;
  if (OwnedFd clone = store.reflink(source, st)) {
    // What was hashed must be what was cloned; otherwise the bytes in memory are right anyway.
    if (isUntouched(source, st)) {
      store.publish(std::move(clone), digest, size);
      return;
    }
  }
  OwnedFd file = store.temporary();
  writeExactly(file.get(), content, size, 0);
  store.publish(std::move(file), digest, size);
}

// A file that is stored is hashed while it is copied, or behind its clone: what has the digest is what was hashed.
void FolderScan::takeLarge(int dir, ScanEntry& entry) {
  OwnedFd source = openFile(dir, entry);
  const uint64_t size = static_cast<uint64_t>(entry.st.st_size);
  OwnedFd object = options_.store ? options_.store->reflink(source.get(), entry.st) : OwnedFd();
  const bool cloned = static_cast<bool>(object);
  if (options_.store && !cloned) object = options_.store->temporary();
  VerityHasher hasher(options_.algorithm);
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadStep]);
  for (uint64_t offset = 0; offset < size;) {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(kReadStep, size - offset));
    readAll(cloned ? object.get() : source.get(), buffer.get(), step, offset);
    hasher.update(buffer.get(), step);
    if (options_.store && !cloned) writeExactly(object.get(), buffer.get(), step, offset);
    offset += step;
    if (offset % (64 * kReadStep) == 0 && cancelled_.isSet()) throw ScanFailure{0, "ABORTED", "aborted", ""};
  }
  Digest digest{};
  hasher.finish(digest.data());
  if (options_.store && !options_.store->presentAndRight(digest, size, nullptr))
    options_.store->publish(std::move(object), digest, size);
  entry.kind = ScanData::Digest;
  entry.data.assign(reinterpret_cast<char*>(digest.data()), digestSize(options_.algorithm));
}

}  // namespace cfsbridge
