// Input that stays where it is until it was compressed needs no copy of a window's size.
#define ZSTD_STATIC_LINKING_ONLY
#include "delta/frame_packer.h"

#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/failure.h"

namespace cfsbridge {
namespace {

// The format's bounds, both as powers of two.
constexpr int kLeastWindow = 10, kMostWindow = 29;
// From here on matches that the usual search does not reach are worth looking for.
constexpr int kLongDistanceWindow = 20;
// Between two looks at whether all is to end.
constexpr size_t kStep = 1 << 20;

}  // namespace

std::optional<std::vector<uint8_t>> FramePacker::pack(const uint8_t* source, size_t sourceSize, const uint8_t* target,
                                                      size_t targetSize, const CancelFlag& cancelled) {
  if (!compress(source, sourceSize, target, targetSize, targetSize, cancelled)) return std::nullopt;
  if (frame_.size() > targetSize / 2) {
    std::vector<uint8_t> related = std::move(frame_);
    // Alone it would lose what it has in common with the files around it.
    const size_t useful = related.size() + related.size() / 16;
    if (compress(nullptr, 0, target, targetSize, useful, cancelled)) return std::nullopt;
    return related;
  }
  return std::vector<uint8_t>(frame_);
}

bool FramePacker::compress(const uint8_t* prefix, size_t prefixSize, const uint8_t* target, size_t targetSize,
                           size_t most, const CancelFlag& cancelled) {
  ZSTD_CCtx* context = context_.get();
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    checkZstd(ZSTD_CCtx_setParameter(context, parameter, value));
  };
  checkZstd(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
  const int window =
      std::clamp(static_cast<int>(std::bit_width(std::max(prefixSize, targetSize))) + 1, kLeastWindow, kMostWindow);
  set(ZSTD_c_compressionLevel, level_);
  set(ZSTD_c_windowLog, window);
  set(ZSTD_c_enableLongDistanceMatching, window >= kLongDistanceWindow ? ZSTD_ps_enable : ZSTD_ps_disable);
  set(ZSTD_c_stableInBuffer, 1);
  checkZstd(ZSTD_CCtx_setPledgedSrcSize(context, targetSize));
  if (prefix != nullptr) checkZstd(ZSTD_CCtx_refPrefix(context, prefix, prefixSize));

  frame_.resize(std::min<size_t>(kStep, ZSTD_compressBound(targetSize)));
  ZSTD_inBuffer in = {target, 0, 0};
  ZSTD_outBuffer out = {frame_.data(), frame_.size(), 0};
  for (;;) {
    if (cancelled.isSet()) throw SystemError{ECANCELED, "compress", ""};
    in.size = std::min(targetSize, in.size + kStep);
    const ZSTD_EndDirective directive = in.size == targetSize ? ZSTD_e_end : ZSTD_e_continue;
    const size_t left = checkZstd(ZSTD_compressStream2(context, &out, &in, directive));
    if (out.pos > most) return false;
    if (directive == ZSTD_e_end && left == 0) break;
    if (out.size - out.pos >= ZSTD_CStreamOutSize()) continue;
    frame_.resize(frame_.size() * 2);
    out.dst = frame_.data();
    out.size = frame_.size();
  }
  frame_.resize(out.pos);
  return out.pos < most;
}

}  // namespace cfsbridge
