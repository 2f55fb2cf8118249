// The folder that a layer is unpacked in: where its entries go, whatever links it has. Nothing outside of it is
// touched.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/owned_fd.h"

namespace cfsbridge {

// Where an entry goes: a folder, and a name in it. The descriptor is the folder's, and good until the next is asked
// for.
struct EntryPlace {
  int parent;
  std::string name;
};

class LayerFolder {
 public:
  explicit LayerFolder(OwnedFd root) : root_(std::move(root)) {}

  // Paths are clean, without a slash at the start; the layer's root is the empty one. Symlinks lead no further than to
  // that root; the last part is not followed. `make`: folders that are missing on the way.
  // Throws LAYER_PARENT where one of them is no folder.
  EntryPlace place(std::string_view path, bool make);
  // Removes what is there, with all below it.
  void remove(const EntryPlace& place);
  int root() const { return root_.get(); }

 private:
  int folder(std::string_view path, bool make);
  OwnedFd open(std::string_view path);
  OwnedFd makeFolders(std::string_view path);
  std::string resolved(std::string_view path);

  const OwnedFd root_;
  // Entries come folder by folder, and go back to the one above.
  std::unordered_map<std::string, OwnedFd> known_;
  bool stale_ = false;  // what was removed may have been on the way to one of them
};

}  // namespace cfsbridge
