#include "check/list_objects.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "base/hex.h"
#include "base/owned_fd.h"
#include "base/threads.h"

namespace cfsbridge {
namespace {

constexpr unsigned kFolders = 256;

struct Found {
  Digest digest;
  ObjectPlace place;
};

}  // namespace

ObjectListing::ObjectListing(int objects, Algorithm algorithm, CancelFlag cancelled)
    : objects_(objects), digestSize_(digestSize(algorithm)), cancelled_(cancelled), folders_(kFolders) {}

void ObjectListing::run() {
  runOnThreads(std::thread::hardware_concurrency(), [this] { work(); });
  failure_.rethrow();
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
    for (unsigned folder; !failure_.happened() && !cancelled_.isSet() && (folder = next_++) < kFolders;) list(folder);
  } catch (...) {
    failure_.keep();
  }
}

void ObjectListing::list(unsigned number) {
  const uint8_t first = static_cast<uint8_t>(number);
  const std::string name = toHex(&first, 1);
  OwnedFd fd(openat(objects_, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOTDIR || errno == ELOOP) return addOther(name);
    if (errno != ENOENT) failErrno(errno, "cannot open objects/" + name);
    return;
  }
  std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(fd.get()), closedir);
  if (!entries) failErrno(errno, "cannot read objects/" + name);
  fd.release();
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
  std::sort(found.begin(), found.end(), [this](const Found& a, const Found& b) {
    return memcmp(a.digest.data(), b.digest.data(), digestSize_) < 0;
  });
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
