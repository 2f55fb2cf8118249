#include "ingest/read_batch.h"

#include <cstring>
#include <new>

#include "base/op_reader.h"
#include "compress/raw_inflate.h"

namespace cfsbridge {
namespace {

// An operation as `src/layer/batch.ts` writes it. The descriptor in it is owned from here on.
Item readItem(OpReader& ops) {
  Item item;
  const uint8_t kind = ops.number<uint8_t>();
  if (kind > static_cast<uint8_t>(Operation::DeflatedFile)) fail("INVALID_BATCH", "unknown operation");
  item.kind = static_cast<Operation>(kind);
  switch (item.kind) {
    case Operation::Bytes:
    case Operation::Data:
    case Operation::Memory:
      item.size = ops.number<uint32_t>();
      item.data = ops.bytes(item.size);
      break;
    case Operation::Named: {
      item.dir = ops.number<int32_t>();
      item.size = ops.number<uint64_t>();
      size_t length = ops.number<uint16_t>();
      item.name = std::string_view(reinterpret_cast<const char*>(ops.bytes(length)), length);
      break;
    }
    case Operation::Open:
      item.fd.reset(ops.number<int32_t>());
      item.size = ops.number<uint64_t>();
      break;
    case Operation::DataBegin:
      item.size = ops.number<uint64_t>();
      break;
    case Operation::DataEnd:
    case Operation::Digest:
      break;
    case Operation::Deflated:
      item.size = ops.number<uint64_t>();
      item.storedSize = ops.number<uint32_t>();
      item.data = ops.bytes(item.storedSize);
      break;
    case Operation::DeflatedFile:
      item.size = ops.number<uint64_t>();
      item.fd.reset(ops.number<int32_t>());
      item.start = ops.number<uint64_t>();
      item.storedSize = ops.number<uint32_t>();
      break;
    case Operation::Range:
    case Operation::Entry:
    case Operation::Text:
    case Operation::Segment:
    case Operation::Checksum:
      fail("INVALID_BATCH", "nothing that can be stored");
  }
  if (item.isDeflated() && (item.size > kInflatable || !RawInflate::available()))
    fail("INVALID_BATCH", "content that is not inflated here");
  item.large = item.isPlain() && item.size > kLargeFile;
  if (item.kind == Operation::Memory) item.ready = true;
  return item;
}

void addItem(Batch& batch, Item item) {
  if (item.isFile() || item.kind == Operation::DataEnd || item.kind == Operation::Digest) {
    item.result = batch.results.size();
    batch.results.emplace_back();
    if (item.isFile()) batch.unstored++;
  }
  batch.items.push_back(std::move(item));
}

}  // namespace

std::shared_ptr<Batch> readBatch(const uint8_t* bytes, size_t size) {
  std::shared_ptr<Batch> batch;
  OpReader rest(bytes, size);
  try {
    batch = std::make_shared<Batch>();
    batch->bytes.reset(new uint8_t[size + 1]);
    memcpy(batch->bytes.get(), bytes, size);
    for (rest = OpReader(batch->bytes.get(), size); !rest.done();) addItem(*batch, readItem(rest));
    return batch;
  } catch (const std::bad_alloc&) {
    while (!rest.done()) readItem(rest);
    throw;
  }
}

}  // namespace cfsbridge
