// Repositories with an image whose only layer is any bytes: what somebody can put there who writes files instead of
// pulling.
import { createHash } from 'node:crypto';
import { layerContentId, configContentId, manifestContentId } from '../../src/repository/names.js';
import { putJsonStream } from '../../src/oci/image/json-stream.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { CONTENT_TYPES, encodeHead } from '../../src/repository/splitstream/format.js';
import { writeTag } from '../../src/repository/tags.js';

export const DIFF_ID = `sha256:${'1'.repeat(64)}`;

/** @param stream the layer's splitstream; may need objects, which it can put */
export async function craftRepository(
  path: string,
  tag: string,
  stream: (repository: Repository) => Buffer | Promise<Buffer>,
): Promise<void> {
  initRepository(path, { insecure: true });
  using repository = await Repository.open(path, { write: true });
  const layer = await repository.objects.put(await stream(repository));
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [DIFF_ID] } }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: DIFF_ID, size: 1 }],
    }),
  );
  const configStream = await putJsonStream(repository, CONTENT_TYPES.config, config, new Map([[DIFF_ID, layer]]));
  const manifestStream = await putJsonStream(
    repository,
    CONTENT_TYPES.manifest,
    manifest,
    new Map([[`config:${digestOf(config)}`, configStream]]),
  );
  await repository.linkStreams([
    [layerContentId(DIFF_ID), layer],
    [configContentId(digestOf(config)), configStream],
    [manifestContentId(digestOf(manifest)), manifestStream],
  ]);
  writeTag(repository, tag, digestOf(manifest));
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/**
 * A layer's splitstream (SHA-512) made by hand.
 * @param size the length it says it has
 * @param parts bytes, runs of zeros, or how often object 0 follows; runs of zeros take four bytes for 128 KiB
 */
export function craftStream(
  size: number,
  parts: readonly (Buffer | { zeros: number } | { object: number })[],
  objects: readonly string[] = [],
): Buffer {
  const body = frame(
    parts.flatMap((part) =>
      'object' in part
        ? [{ zeros: 8 * part.object }]
        : [number64(Buffer.isBuffer(part) ? -part.length : -part.zeros), part],
    ),
  );
  const refs = Buffer.from(objects.join(''), 'hex');
  const names = frame([]);
  const head = encodeHead('sha512', CONTENT_TYPES.layer, BigInt(size), {
    streamRefs: 0,
    objectRefs: refs.length,
    namedRefs: names.length,
    stream: body.length,
  });
  return Buffer.concat([head, refs, names, body]);
}

const BLOCK = 128 << 10;
const [RAW, RUN] = [0, 1];

/** One zstd frame (RFC 8878) of raw blocks and runs of zeros. */
function frame(parts: readonly (Buffer | { zeros: number })[]): Buffer {
  const blocks: Buffer[] = [];
  const block = (type: number, size: number, bytes: Buffer): void => {
    const head = Buffer.alloc(3);
    head.writeUIntLE((size << 3) | (type << 1), 0, 3);
    blocks.push(head, bytes);
  };
  for (const part of parts) {
    const length = Buffer.isBuffer(part) ? part.length : part.zeros;
    for (let at = 0; at < length; at += BLOCK) {
      const size = Math.min(BLOCK, length - at);
      if (Buffer.isBuffer(part)) block(RAW, size, part.subarray(at, at + size));
      else block(RUN, size, Buffer.alloc(1));
    }
  }
  const [magic, windowOf128KiB, last] = [
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
    Buffer.from([0x00, 0x38]),
    Buffer.from([1, 0, 0]),
  ];
  return Buffer.concat([magic, windowOf128KiB, ...blocks, last]);
}

function number64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}
