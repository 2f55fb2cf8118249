// Packs what makes a layer out of an older image: a stream of tar-diff's operations, compressed into a file.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel_flag.h"
#include "base/owned_fd.h"
#include "hash/verity.h"

namespace cfsbridge {

class PatchStream;
class FramePacker;

struct PackSettings {
  Algorithm algorithm;
  int level;
  // Changed files as frames of zstd with their source before them, which the second version of the format has;
  // otherwise as plain and added data.
  bool frames;
  unsigned threads;
};

// What is packed at a time, and given in one call: JavaScript cuts it (see src/oci/delta/patch-batch.ts).
class PatchPacker {
 public:
  // `objects`: the folder of both images' content. `out` is written to from its start.
  PatchPacker(OwnedFd objects, OwnedFd out, PackSettings settings);
  ~PatchPacker();
  // Operations as src/oci/delta/patch-batch.ts writes them (PatchOperation in base/layouts.h). One call at a time.
  // Memory: what the changed files in it are long, and kSourcesInMemory of their sources, or one.
  void pack(const uint8_t* operations, size_t size, const CancelFlag& cancelled);
  void finish(const CancelFlag& cancelled);
  // Of the file, when it is finished.
  uint64_t size() const;
  const uint8_t* digest() const { return digest_; }

 private:
  struct Item;
  void packChanged(std::vector<Item>& items, const CancelFlag& cancelled);
  void writeContent(const Item& item, const CancelFlag& cancelled);

  const OwnedFd objects_;
  const PackSettings settings_;
  std::unique_ptr<PatchStream> stream_;
  std::vector<std::unique_ptr<FramePacker>> workers_;
  uint8_t digest_[32] = {};
};

}  // namespace cfsbridge
