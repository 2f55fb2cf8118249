#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ingest/ingest.h"

namespace cfsbridge {

// A batch as `src/layer/batch.ts` writes it. The descriptors in it are owned from here on, also when this throws.
std::shared_ptr<Batch> readBatch(const uint8_t* bytes, size_t size);

}  // namespace cfsbridge
