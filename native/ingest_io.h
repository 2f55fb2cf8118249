// Reading sources and writing objects, for the jobs of an ingest. All throw StoreError.
#pragma once
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "object_store.h"

namespace cfsbridge {

// Opens a name from outside for reading. It can neither leave the directory nor pass through a symlink, and does not wait for a pipe.
OwnedFd openBeneath(int dir, std::string_view name);
void checkRegular(int fd, struct stat* st);
void readExactly(int fd, uint8_t* into, uint64_t size, uint64_t offset);
void writeExactly(int fd, const uint8_t* data, uint64_t size, uint64_t offset);
constexpr size_t kReadStep = 256 * 1024;
// kReadStep bytes of this thread's own.
uint8_t* readBuffer();
// A change of content moves mtime (or size); a trusted owner does not set it back.
void checkUnchanged(int fd, const struct stat& before);

}  // namespace cfsbridge
