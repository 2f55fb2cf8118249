// Lower-case hex.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace cfsbridge {

void appendHex(std::string& text, const uint8_t* bytes, size_t size);
std::string toHex(const uint8_t* bytes, size_t size);
// Whether the text is the hex of exactly `size` bytes, which are written to `out`.
bool parseHex(const char* text, size_t size, uint8_t* out);

}  // namespace cfsbridge
