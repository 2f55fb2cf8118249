// Parts as JavaScript writes them.
#pragma once
#include <vector>

#include "base/op_reader.h"
#include "socket/part_sender.h"

namespace cfsbridge {

// Whether there may be parts that are ranges of files.
enum class Ranges { Refused, Taken };

// Descriptors in them are owned from here on, also when this throws. Bytes and names stay where they are.
std::vector<Part> readParts(OpReader ops, Ranges ranges);

}  // namespace cfsbridge
