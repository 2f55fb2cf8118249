#include "socket/part_ops.h"

#include <new>

#include "base/layouts.h"

namespace cfsbridge {
namespace {

// An operation as `src/fd/part-writer.ts` and `src/fd/pipe-pump.ts` write it. The descriptor in it is owned from here
// on.
Part readPart(OpReader& ops, Ranges ranges) {
  Part part;
  switch (static_cast<Operation>(ops.number<uint8_t>())) {
    case Operation::Bytes:
      part.size = ops.number<uint32_t>();
      part.bytes = ops.bytes(part.size);
      break;
    case Operation::Named: {
      part.dir = ops.number<int32_t>();
      part.size = ops.number<uint64_t>();
      const size_t length = ops.number<uint16_t>();
      part.name = std::string_view(reinterpret_cast<const char*>(ops.bytes(length)), length);
      break;
    }
    case Operation::Open:
      part.fd.reset(ops.number<int32_t>());
      part.size = ops.number<uint64_t>();
      break;
    case Operation::Range:
      if (ranges == Ranges::Refused) fail("INVALID_BATCH", "a range of a file");
      part.isRange = true;
      part.fd.reset(ops.number<int32_t>());
      part.start = ops.number<uint64_t>();
      part.size = ops.number<uint64_t>();
      break;
    default:
      fail("INVALID_BATCH", "unknown operation");
  }
  return part;
}

}  // namespace

std::vector<Part> readParts(OpReader ops, Ranges ranges) {
  std::vector<Part> parts;
  try {
    while (!ops.done()) parts.push_back(readPart(ops, ranges));
  } catch (const std::bad_alloc&) {
    while (!ops.done()) readPart(ops, ranges);
    throw;
  }
  return parts;
}

}  // namespace cfsbridge
