// Reading a folder as the source of an image: every inode's metadata, xattrs, link target, and the content of
// small files or the digest of large ones.
#pragma once
#include <sys/stat.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/cancel_flag.h"
#include "base/failure.h"
#include "base/layouts.h"
#include "base/limits.h"
#include "store/object_store.h"
#include "hash/verity.h"

namespace cfsbridge {

constexpr size_t kScanGroupFiles = 64;

struct ScanOptions {
  XattrChoice xattrs = XattrChoice::All;
  bool devices = true;
  bool hardlinks = false;  // names of one inode are told apart from copies
  Algorithm algorithm = Algorithm::Sha256;
  std::shared_ptr<ObjectStore> store;  // where content goes; null: only hashed
  unsigned threads = 1;
};

// One name in one directory.
struct ScanEntry {
  std::string name;
  struct stat st = {};
  uint32_t directory = 0;  // its number, for directories
  ScanData kind = ScanData::None;
  std::string data;
  std::string xattrs;  // per xattr: u16 length of the name, u32 length of the value, name, value
};

struct ScanFailure {
  int error;  // errno, or 0 when `code` says it
  std::string code;
  std::string message;
  std::string path;  // below the folder
};

// Walks a folder with several threads. Descriptors are held for directories with unread entries only, newest first,
// so that their number follows the depth of the tree; memory follows the number of entries, never their content.
class FolderScan {
 public:
  FolderScan(int root, ScanOptions options, CancelFlag cancelled);
  // The entries as one flat list; see serialize() in scan_folder.cc. Throws ScanFailure, for one.
  std::string run();

 private:
  struct Directory {
    std::vector<ScanEntry> entries;
    std::string path;
  };
  using Job = std::function<void()>;

  void work();
  void runJob(Job job) noexcept;
  void push(Job job);
  void readDirectory(std::shared_ptr<OwnedFd> parent, uint32_t number, std::string name);
  void addEntry(int dir, Directory& directory, const std::string& name);
  void scheduleFiles(std::shared_ptr<OwnedFd> dir, Directory& directory);
  void takeGroup(int dir, Directory& directory, const std::vector<size_t>& files);
  void takeLarge(int dir, ScanEntry& entry);
  bool isFurtherLink(const struct stat& st);
  std::string readXattrs(const std::string& path);
  OwnedFd openFile(int dir, ScanEntry& entry);
  void storeContent(int source, const struct stat& st, const uint8_t* content, const Digest& digest);
  std::string serialize();

  int root_;
  ScanOptions options_;
  const CancelFlag cancelled_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job> jobs_;
  size_t running_ = 0;
  FirstFailure failure_;
  std::vector<std::unique_ptr<Directory>> directories_;
  ScanEntry rootEntry_;
  std::map<std::pair<dev_t, ino_t>, bool> links_;
};

}  // namespace cfsbridge
