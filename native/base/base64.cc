// Base64 from bytes to bytes. Node decodes strings only, and a layer's recipe is mostly base64: a string for each tar
// header would be most of the garbage of a pull.
#include "base/base64.h"

#include <array>
#include <cstdint>

#include "base/addon.h"

namespace cfsbridge {
namespace {

constexpr const char* letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Four tables, for the place of a letter in its group of four, already shifted; invalid letters have bits above the 24.
struct Tables {
  std::array<std::array<uint32_t, 256>, 4> values;

  constexpr Tables() : values() {
    for (int place = 0; place < 4; place++) {
      values[place].fill(0xff000000);
      for (uint32_t i = 0; i < 64; i++) values[place][static_cast<uint8_t>(letters[i])] = i << (18 - 6 * place);
    }
  }
};
constexpr Tables tables;

// Returns the bytes written, or -1 for anything but whole groups of letters, padded at the end only.
int64_t decode(const uint8_t* text, size_t length, uint8_t* into) {
  if (length % 4 != 0) return -1;
  size_t padding = 0;
  while (padding < 2 && padding < length && text[length - 1 - padding] == '=') padding++;
  const auto& [first, second, third, fourth] = tables.values;
  const uint8_t* const start = into;
  const uint8_t* const end = text + length - (padding > 0 ? 4 : 0);
  uint32_t invalid = 0;
  for (; text < end; text += 4, into += 3) {
    const uint32_t bits = first[text[0]] | second[text[1]] | third[text[2]] | fourth[text[3]];
    invalid |= bits;
    into[0] = static_cast<uint8_t>(bits >> 16);
    into[1] = static_cast<uint8_t>(bits >> 8);
    into[2] = static_cast<uint8_t>(bits);
  }
  if (padding > 0) {
    const uint32_t bits = first[text[0]] | second[text[1]] | (padding == 1 ? third[text[2]] : 0);
    invalid |= bits;
    *into++ = static_cast<uint8_t>(bits >> 16);
    if (padding == 1) *into++ = static_cast<uint8_t>(bits >> 8);
  }
  return invalid >> 24 ? -1 : into - start;
}

// decodeBase64(text, start, end, into, at)
Napi::Value DecodeBase64(const Napi::CallbackInfo& info) {
  const auto text = info[0].As<Napi::Uint8Array>();
  auto into = info[3].As<Napi::Uint8Array>();
  const int64_t start = info[1].As<Napi::Number>().Int64Value(), end = info[2].As<Napi::Number>().Int64Value();
  const int64_t at = info[4].As<Napi::Number>().Int64Value();
  const int64_t available = static_cast<int64_t>(text.ByteLength()), room = static_cast<int64_t>(into.ByteLength());
  if (start < 0 || end < start || end > available || at < 0 || at > room || (end - start) / 4 * 3 > room - at)
    throw Napi::RangeError::New(info.Env(), "decodeBase64: outside of a buffer");
  return Napi::Number::New(
      info.Env(), static_cast<double>(decode(text.Data() + start, static_cast<size_t>(end - start), into.Data() + at)));
}

}  // namespace

void appendBase64(std::vector<uint8_t>& text, const uint8_t* bytes, size_t size) {
  const size_t start = text.size();
  text.resize(start + (size + 2) / 3 * 4);
  uint8_t* into = text.data() + start;
  const auto put = [&](uint32_t bits) {
    for (int shift = 18; shift >= 0; shift -= 6) *into++ = static_cast<uint8_t>(letters[bits >> shift & 63]);
  };
  for (; size >= 3; bytes += 3, size -= 3)
    put(static_cast<uint32_t>(bytes[0]) << 16 | static_cast<uint32_t>(bytes[1]) << 8 | bytes[2]);
  if (size == 0) return;
  put(static_cast<uint32_t>(bytes[0]) << 16 | (size == 2 ? static_cast<uint32_t>(bytes[1]) << 8 : 0));
  text.back() = '=';
  if (size == 1) text[text.size() - 2] = '=';
}

void initBase64(Napi::Env, Napi::Object exports) { addFunction<DecodeBase64>(exports, "decodeBase64"); }

}  // namespace cfsbridge
