#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cfsbridge {

// With padding.
void appendBase64(std::vector<uint8_t>& text, const uint8_t* bytes, size_t size);

}  // namespace cfsbridge
