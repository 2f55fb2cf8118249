// What a file has in common with an older one, as operations of tar-diff that any version of it knows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cfsbridge {

// The numbers of tar-diff's operations; src/layer/tar-diff-format.ts has them, too.
enum class PatchOp : uint8_t { Data = 0, Open = 1, Copy = 2, AddData = 3, Seek = 4, ZstdDict = 5 };

// An operation's number, and its size as LEB128: at most 11 bytes.
void appendOp(std::vector<uint8_t>& to, PatchOp op, uint64_t size);

// A part of the target out of the whole source, which is the current file, at any position. Where both agree in most
// bytes their differences are added to the source, as moved code differs in its addresses only; the rest is new data.
// Nothing where they have nothing in common. Takes memory of an eighth of the source, and of the target twice.
std::optional<std::vector<uint8_t>> encodeSimilar(const uint8_t* source, size_t sourceSize, const uint8_t* target,
                                                  size_t targetSize);

}  // namespace cfsbridge
