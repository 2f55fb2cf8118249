// Memory that JavaScript has done with, given back at once and not by the next garbage collection.
#include "base/addon.h"

namespace cfsbridge {
namespace {

// (bytes): a part of a buffer stays, since somebody may have the rest.
Napi::Value ReleaseBytes(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array bytes = steadyBytes(info[0]);
  Napi::ArrayBuffer buffer = bytes.ArrayBuffer();
  if (bytes.ByteLength() > 0 && bytes.ByteLength() == buffer.ByteLength()) buffer.Detach();
  return info.Env().Undefined();
}

}  // namespace

void initRelease(Napi::Env, Napi::Object exports) { addFunction<ReleaseBytes>(exports, "releaseBytes"); }

}  // namespace cfsbridge
