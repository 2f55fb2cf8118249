// Which inodes may be objects. An object that shares its inode with a file elsewhere is only as safe as that inode:
// whoever owns it or may write it changes what a mounted image runs, and its setuid bit works under the object's name,
// too.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cfsbridge {

enum class SharingFault : uint8_t { None, Owner, Mode, Capability };

class SharingRule {
 public:
  // `believed`: the users whose files are as good as our own, see src/fd/peer.ts.
  explicit SharingRule(std::vector<uid_t> believed) : believed_(std::move(believed)) {}

  // `st` is of the open file `fd`. Who owns a file with fs-verity can change its mode and not its content, so with
  // `sealed` neither owner nor write bits matter.
  SharingFault check(int fd, const struct stat& st, bool sealed) const;
  bool allows(int fd, const struct stat& st, bool sealed) const { return check(fd, st, sealed) == SharingFault::None; }

  // The same for a folder that objects, or folders of them, are in.
  bool allowsFolder(const struct stat& st) const {
    return believes(st.st_uid) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  }

 private:
  bool believes(uid_t owner) const;

  std::vector<uid_t> believed_;
};

// What is wrong with a file, for people.
std::string describe(SharingFault fault, const struct stat& st);

}  // namespace cfsbridge
