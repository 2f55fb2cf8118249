#include "delta/patch_stream.h"

#include <zstd_errors.h>

#include <cerrno>
#include <new>
#include <string>

#include "base/failure.h"
#include "base/file_io.h"

namespace cfsbridge {
namespace {

constexpr size_t kBuffer = 256 * 1024;
// What one thread compresses at a time: part of what decides about the bytes.
constexpr int kJobBytes = 4 << 20;

}  // namespace

CompressContext makeCompressContext() {
  CompressContext context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  return context;
}

size_t checkZstd(size_t result) {
  if (!ZSTD_isError(result)) return result;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  fail("UNEXPECTED", std::string("zstd: ") + ZSTD_getErrorName(result));
}

PatchStream::PatchStream(OwnedFd out, int level, unsigned threads)
    : out_(std::move(out)), context_(makeCompressContext()), buffer_(new uint8_t[kBuffer]) {
  checkZstd(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level));
  checkZstd(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_nbWorkers, static_cast<int>(threads)));
  checkZstd(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_jobSize, kJobBytes));
}

void PatchStream::finish(uint8_t digest[32]) {
  run(nullptr, 0, ZSTD_e_end);
  hash_.finish(digest);
}

void PatchStream::run(const uint8_t* data, size_t size, ZSTD_EndDirective directive) {
  ZSTD_inBuffer in = {data, size, 0};
  for (;;) {
    ZSTD_outBuffer out = {buffer_.get(), kBuffer, 0};
    const size_t left = checkZstd(ZSTD_compressStream2(context_.get(), &out, &in, directive));
    put(buffer_.get(), out.pos);
    if (in.pos == in.size && (directive == ZSTD_e_continue || left == 0)) return;
  }
}

void PatchStream::put(const uint8_t* data, size_t size) {
  hash_.update(data, size);
  writeExactly(out_.get(), data, size, size_);
  size_ += size;
}

}  // namespace cfsbridge
