// Objects of an import that waited until they were known to be right.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/file_io.h"
#include "check/list_objects.h"
#include "store/object_store.h"

namespace cfsbridge {

void ObjectStore::land(int staging) {
  ObjectListing listing(staging, algorithm_);
  listing.run();
  const size_t size = digestSize(algorithm_);
  Digest digest{};
  for (size_t at = 0; at + size <= listing.ids.size(); at += size) {
    memcpy(digest.data(), listing.ids.data() + at, size);
    landOne(staging, digest);
  }
}

void ObjectStore::landOne(int staging, const Digest& digest) {
  const std::string name = nameOf(digest);
  for (int attempt = 0; attempt < 2; attempt++) {
    if (renameat2(staging, name.c_str(), objects_.made(name), FanOut::rest(name), RENAME_NOREPLACE) == 0)
      return remember(digest);
    if (errno != ENOENT) break;
    if (!objects_.forgetRemoved(name)) failErrno(ENOENT, "cannot put objects/" + name + " in its place");
  }
  const int error = errno;
  OwnedFd staged(openat(staging, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st;
  if (!staged || fstat(staged.get(), &st) < 0) failErrno(errno, "cannot open an object that waits for its place");
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  if (error == EEXIST) {
    // Another import was faster. It may also have been here all the time and be damaged.
    if (presentAndRight(digest, size, nullptr)) return;
    if (renameat(staging, name.c_str(), objects_.made(name), FanOut::rest(name)) < 0)
      failErrno(errno, "cannot replace the damaged objects/" + name);
    return remember(digest);
  }
  if (error != EXDEV) failErrno(error, "cannot move an object to objects/" + name);
  // `objects` can be a mount of its own.
  OwnedFd copy = temporary();
  std::unique_ptr<uint8_t[]> buffer(new uint8_t[kReadStep]);
  for (uint64_t offset = 0; offset < size; offset += kReadStep) {
    const size_t step = static_cast<size_t>(size - offset < kReadStep ? size - offset : kReadStep);
    readExactly(staged.get(), buffer.get(), step, offset);
    writeExactly(copy.get(), buffer.get(), step, offset);
  }
  publish(std::move(copy), digest, size);
}

}  // namespace cfsbridge
