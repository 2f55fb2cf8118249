// Opening, reading and writing files for jobs on other threads. All throw StoreError, but for what says otherwise.
#pragma once
#include <linux/openat2.h>
#include <sys/stat.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/failure.h"
#include "base/owned_fd.h"

namespace cfsbridge {

// openat2(2), again after a signal and where a ".." on the way met a rename. EAGAIN is left for a file whose lease has
// to be given back first: asking for it again at once would keep a processor busy for as long as its holder likes.
// Returns -1 with errno.
int openat2Retrying(int dir, const char* name, struct open_how& how);
// The code of openBeneath for a file whose owner has a lease on it (F_SETLEASE). The kernel asks for it back and takes
// it after 45 s, as long as somebody tries again; waiting for that in the call would be deaf and keep the thread.
constexpr const char* kLeased = "LEASED";
// How long to wait before such a file is tried again, and for how long.
constexpr auto kLeasePause = std::chrono::milliseconds(20);
constexpr auto kLeaseWait = std::chrono::seconds(60);

// Opens a name from outside for reading. It can neither leave the directory nor pass through a symlink, and does not
// wait for a pipe. `acrossMounts`: not below a stranger's folder, since a filesystem that a stranger mounted there may
// never answer.
OwnedFd openBeneath(int dir, std::string_view name, bool acrossMounts = true);
// The same, but empty, with errno, when it cannot be opened.
OwnedFd tryOpenBeneath(int dir, const std::string& name, bool acrossMounts = true);
// The same file, open for reading only; empty, with errno, when that is not allowed.
OwnedFd reopenReadOnly(int fd);
void checkRegular(int fd, struct stat* st);

// As much as there is of so many bytes: fewer at the end of the file only. Returns -1 with errno.
int64_t readFully(int fd, uint8_t* into, uint64_t size, uint64_t offset);
void readExactly(int fd, uint8_t* into, uint64_t size, uint64_t offset);
void writeExactly(int fd, const uint8_t* data, uint64_t size, uint64_t offset);
constexpr size_t kReadStep = 256 * 1024;

// Throws SOURCE_CHANGED when the content is not what it was: a change moves the time of modification, or the size. The
// time of the inode's change is no sign here: links that are made and removed meanwhile move it, also by this process
// for another file with the same content, and what is told apart wrongly ends an import. Sources that are linked or
// cloned unread belong to somebody who sets no times back.
void checkUnchanged(int fd, const struct stat& before);
// Whether not even the time of the inode's change moved, which its owner cannot set: for anybody's files, where taking
// an unchanged one for a changed one costs a copy and nothing else.
bool isUntouched(int fd, const struct stat& before);

}  // namespace cfsbridge
