#include "hash/sharing.h"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace cfsbridge {
namespace {

constexpr mode_t kWritableByOthers = S_IWGRP | S_IWOTH;
constexpr mode_t kSpecial = S_ISUID | S_ISGID | S_ISVTX;
constexpr mode_t kExecutable = S_IXUSR | S_IXGRP | S_IXOTH;

// Only what may be executed gets capabilities by executing it, which spares most files the look.
bool hasCapability(int fd) {
  return fgetxattr(fd, "security.capability", nullptr, 0) >= 0 || (errno != ENODATA && errno != EOPNOTSUPP);
}

}  // namespace

bool SharingRule::believes(uid_t owner) const {
  return std::find(believed_.begin(), believed_.end(), owner) != believed_.end();
}

SharingFault SharingRule::check(int fd, const struct stat& st, bool sealed) const {
  if (!sealed && !believes(st.st_uid)) return SharingFault::Owner;
  // An ACL needs no look: its mask is the group's bits.
  if (st.st_mode & (sealed ? kSpecial : kSpecial | kWritableByOthers)) return SharingFault::Mode;
  if (st.st_mode & kExecutable && hasCapability(fd)) return SharingFault::Capability;
  return SharingFault::None;
}

std::string describe(SharingFault fault, const struct stat& st) {
  switch (fault) {
    case SharingFault::Owner:
      return "belongs to user " + std::to_string(st.st_uid);
    case SharingFault::Mode: {
      char mode[8];
      snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(st.st_mode & 07777));
      return std::string("has mode ") + mode;
    }
    case SharingFault::Capability:
      return "has capabilities";
    case SharingFault::None:
      break;
  }
  return "";
}

}  // namespace cfsbridge
