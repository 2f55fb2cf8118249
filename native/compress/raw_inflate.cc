#include "compress/raw_inflate.h"

#include <new>
#include <string>

#include "base/failure.h"
#include "compress/zlib.h"

namespace cfsbridge {
namespace {

constexpr int kRaw = -15;  // the largest window, and no header

// What an inflater needs stays with the thread for the next content.
struct ThreadStream {
  ThreadStream() {
    if (Zlib::get().init(&stream, kRaw, kZlibVersion, sizeof stream) != kOk) throw std::bad_alloc();
  }
  ~ThreadStream() { Zlib::get().end(&stream); }
  ZlibStream stream{};
};

ZlibStream& threadStream() {
  thread_local ThreadStream own;
  return own.stream;
}

}  // namespace

bool RawInflate::available() { return Zlib::get().found(); }

RawInflate::RawInflate(uint8_t* output, size_t size) : stream_(threadStream()), size_(size) {
  Zlib::get().reset(&stream_);
  stream_.nextOut = output;
  stream_.availOut = static_cast<unsigned>(size);
}

void RawInflate::feed(const uint8_t* data, size_t size) {
  if (ended_ && size > 0) fail("INFLATE", "goes on behind its content");
  stream_.nextIn = data;
  stream_.availIn = static_cast<unsigned>(size);
  const int result = Zlib::get().inflate(&stream_, kNoFlush);
  if (result == kMemoryError) throw std::bad_alloc();
  ended_ = result == kStreamEnd;
  if (ended_ && stream_.availIn > 0) fail("INFLATE", "goes on behind its content");
  if (ended_ || (result == kOk && stream_.availIn == 0)) return;
  // With no room left, zlib has more content to give.
  if (result == kOk || (result == kBufferError && stream_.availOut == 0))
    fail("INFLATE", "has more content than the " + std::to_string(size_) + " bytes that its header says");
  if (result == kBufferError) return;
  fail("INFLATE",
       std::string("has content that cannot be inflated: ") + (stream_.message ? stream_.message : "no deflate data"));
}

void RawInflate::finish() {
  if (ended_ && stream_.availOut == 0) return;
  fail("INFLATE", ended_ ? "has " + std::to_string(size_ - stream_.availOut) + " of the " + std::to_string(size_) +
                               " bytes that its header says"
                         : "has content that cannot be inflated: unexpected end of file");
}

}  // namespace cfsbridge
