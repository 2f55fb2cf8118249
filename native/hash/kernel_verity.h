// fs-verity as the kernel does it: the digest it measures, and turning it on.
#pragma once
#include "hash/verity.h"

namespace cfsbridge {

// The kernel's digest of a file with fs-verity; its size in bytes, 0 with errno when the file has none.
size_t measureVerity(int fd, Digest& digest);

// Turns fs-verity on, for a file that nobody has open for writing. Returns 0, also when it was on, or an errno.
// `algorithm` is the kernel's number.
int enableVerity(int fd, uint32_t algorithm);
// Whether that errno says that the filesystem has no fs-verity; EINVAL stands for one whose blocks are smaller than
// 4096 bytes.
bool isVerityUnsupported(int error);

}  // namespace cfsbridge
