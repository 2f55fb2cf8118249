// One changed file, or a part of it, packed with the help of an older one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/cancel_flag.h"
#include "delta/patch_stream.h"

namespace cfsbridge {

// One for each thread: it keeps the memory of its compressor.
class FramePacker {
 public:
  explicit FramePacker(int level) : level_(level), context_(makeCompressContext()) {}

  // A frame that whoever has the source unpacks to the target. Nothing when the source is of no use.
  std::optional<std::vector<uint8_t>> pack(const uint8_t* source, size_t sourceSize, const uint8_t* target,
                                           size_t targetSize, const CancelFlag& cancelled);

 private:
  // Into `frame_`. False when the frame would be longer than `most`.
  bool compress(const uint8_t* prefix, size_t prefixSize, const uint8_t* target, size_t targetSize, size_t most,
                const CancelFlag& cancelled);

  const int level_;
  const CompressContext context_;
  std::vector<uint8_t> frame_;
};

}  // namespace cfsbridge
