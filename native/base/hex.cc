#include "base/hex.h"

#include <array>
#include <cstring>

namespace cfsbridge {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

constexpr std::array<int8_t, 256> makeValues() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (int i = 0; i < 16; i++) values[static_cast<size_t>(kDigits[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kValues = makeValues();

}  // namespace

void appendHex(std::string& text, const uint8_t* bytes, size_t size) {
  const size_t start = text.size();
  text.resize(start + 2 * size);
  for (size_t i = 0; i < size; i++) {
    text[start + 2 * i] = kDigits[bytes[i] >> 4];
    text[start + 2 * i + 1] = kDigits[bytes[i] & 15];
  }
}

std::string toHex(const uint8_t* bytes, size_t size) {
  std::string text;
  appendHex(text, bytes, size);
  return text;
}

bool parseHex(const char* text, size_t size, uint8_t* out) {
  if (strlen(text) != 2 * size) return false;
  int wrong = 0;
  for (size_t i = 0; i < size; i++) {
    const int high = kValues[static_cast<uint8_t>(text[2 * i])], low = kValues[static_cast<uint8_t>(text[2 * i + 1])];
    wrong |= high | low;
    out[i] = static_cast<uint8_t>(high << 4 | (low & 15));
  }
  return wrong >= 0;
}

}  // namespace cfsbridge
