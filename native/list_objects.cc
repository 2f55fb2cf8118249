#include "list_objects.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

namespace cfsbridge {
namespace {

constexpr unsigned kFolders = 256;

constexpr std::array<int8_t, 256> makeHexValues() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (int i = 0; i < 16; i++) values[static_cast<size_t>("0123456789abcdef"[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kHexValues = makeHexValues();

// Lower-case hex of exactly `size` bytes.
bool parseHex(const char* text, size_t size, uint8_t* out) {
  if (strlen(text) != 2 * size) return false;
  int wrong = 0;
  for (size_t i = 0; i < size; i++) {
    const int high = kHexValues[static_cast<uint8_t>(text[2 * i])], low = kHexValues[static_cast<uint8_t>(text[2 * i + 1])];
    wrong |= high | low;
    out[i] = static_cast<uint8_t>(high << 4 | (low & 15));
  }
  return wrong >= 0;
}

struct Found {
  Digest digest;
  ObjectPlace place;
};

}  // namespace

std::string toHex(const uint8_t* bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  std::string text(2 * size, '\0');
  for (size_t i = 0; i < size; i++) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
  return text;
}

ObjectListing::ObjectListing(int objects, Algorithm algorithm, const uint8_t* cancelled)
    : objects_(objects), digestSize_(digestSize(algorithm)), cancelled_(cancelled), folders_(kFolders) {}

void ObjectListing::run() {
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < std::thread::hardware_concurrency(); i++) threads.emplace_back([this] { work(); });
  work();
  for (std::thread& thread : threads) thread.join();
  if (failed_) throw failure_;
  size_t count = 0;
  for (const Folder& folder : folders_) count += folder.places.size();
  ids.reserve(count * digestSize_);
  places.reserve(count);
  for (Folder& folder : folders_) {
    ids += folder.ids;
    places.insert(places.end(), folder.places.begin(), folder.places.end());
    folder = {};
  }
  std::sort(others.begin(), others.end());
}

void ObjectListing::work() {
  try {
    for (unsigned folder; !failed_ && !__atomic_load_n(cancelled_, __ATOMIC_RELAXED) && (folder = next_++) < kFolders;) list(folder);
  } catch (StoreError& error) {
    std::lock_guard lock(mutex_);
    if (!failed_) failure_ = std::move(error);
    failed_ = true;
  }
}

void ObjectListing::list(unsigned number) {
  const uint8_t first = static_cast<uint8_t>(number);
  const std::string name = toHex(&first, 1);
  const int fd = openat(objects_, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOTDIR || errno == ELOOP) return addOther(name);
    if (errno != ENOENT) failErrno(errno, "cannot open objects/" + name);
    return;
  }
  std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(fd), closedir);
  if (!entries) {
    const int error = errno;
    OwnedFd owned(fd);
    failErrno(error, "cannot read objects/" + name);
  }
  std::vector<Found> found;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(entries.get());
    if (!entry) break;
    Found object{};
    object.digest[0] = first;
    if (parseHex(entry->d_name, digestSize_ - 1, object.digest.data() + 1)) {
      object.place.value = (entry->d_ino & ~ObjectPlace::kOdd) | (entry->d_type == DT_REG ? 0 : ObjectPlace::kOdd);
      found.push_back(object);
    } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      addOther(name + "/" + entry->d_name);
    }
  }
  if (errno) failErrno(errno, "cannot read objects/" + name);
  std::sort(found.begin(), found.end(), [this](const Found& a, const Found& b) { return memcmp(a.digest.data(), b.digest.data(), digestSize_) < 0; });
  Folder& folder = folders_[number];
  folder.ids.reserve(found.size() * digestSize_);
  folder.places.reserve(found.size());
  for (const Found& object : found) {
    folder.ids.append(reinterpret_cast<const char*>(object.digest.data()), digestSize_);
    folder.places.push_back(object.place);
  }
}

void ObjectListing::addOther(std::string path) {
  std::lock_guard lock(mutex_);
  others.push_back(std::move(path));
}

}  // namespace cfsbridge
