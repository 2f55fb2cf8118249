// The compressed stream of a patch on its way into a file. The same bytes come out however many threads there are and
// however what goes in is cut.
#pragma once
#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/owned_fd.h"
#include "hash/verity.h"

namespace cfsbridge {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
using CompressContext = std::unique_ptr<ZSTD_CCtx, FreeContext>;

CompressContext makeCompressContext();
// Throws what libzstd says of a result that is an error.
size_t checkZstd(size_t result);

class PatchStream {
 public:
  PatchStream(OwnedFd out, int level, unsigned threads);
  // Not compressed: what the file begins with.
  void writeMagic(const uint8_t* data, size_t size) { put(data, size); }
  void write(const uint8_t* data, size_t size) { run(data, size, ZSTD_e_continue); }
  void finish(uint8_t digest[32]);
  uint64_t size() const { return size_; }

 private:
  void run(const uint8_t* data, size_t size, ZSTD_EndDirective directive);
  void put(const uint8_t* data, size_t size);

  const OwnedFd out_;
  const CompressContext context_;
  const std::unique_ptr<uint8_t[]> buffer_;
  Sha256 hash_;
  uint64_t size_ = 0;
};

}  // namespace cfsbridge
