// How much of files from outside native code holds in memory at a time, each with its reason; for the rest see
// src/limits.ts.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cfsbridge {

// Layers (ingest)

constexpr uint64_t kSmallLimit =
    64;  // content up to here is handed back instead of stored: it goes into the splitstream
constexpr uint64_t kLargeFile =
    512 * 1024;  // above: never in memory whole. Hashing several at a time gains nothing for longer ones
constexpr uint64_t kGroupBytes = kLargeFile;  // small files handled by one thread in one go: what fits its cache

// Folders (scan)

constexpr uint64_t kScanInlineLimit = 64;         // content up to here is in the image
constexpr uint64_t kScanLargeFile = 1024 * 1024;  // above: never in memory whole
constexpr uint64_t kScanGroupBytes = 512 * 1024;  // files hashed side by side
constexpr size_t kTargetLimit =
    4095;  // target of a symlink: PATH_MAX less the NUL, whatever size its file system claims
constexpr size_t kXattrNamesLimit = 65536;  // names of the xattrs of one inode: XATTR_LIST_MAX
constexpr size_t kXattrLimit = 65536;       // value of an xattr: XATTR_SIZE_MAX

// Objects that are checked

constexpr size_t kCheckSmallFile =
    128 * 1024;  // files up to this size are hashed side by side, from one block that stays in the cache
constexpr size_t kCheckBlockBytes = 512 * 1024;

// Deltas

constexpr uint64_t kSourcesInMemory =
    256 << 20;  // files that changed ones are compared with, at a time; a longer one has it for itself

// Sockets

constexpr size_t kMaxFds = 253;  // descriptors of one packet: SCM_MAX_FD of Linux

}  // namespace cfsbridge
