import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { LayerStream } from '../../../src/layer/stream.js';

/** The diff_id of a layer, from its chunks, reading named files with nothing of ours. */
export async function hashTar(stream: LayerStream): Promise<string> {
  const hash = createHash('sha256');
  for await (const batch of stream) {
    for (const chunk of batch) {
      if (chunk.kind === 'bytes') hash.update(chunk.bytes);
      else if (chunk.kind === 'named') hashFile(hash, `/proc/self/fd/${chunk.dir.number}/`, chunk.name, chunk.size);
      else assert.fail('a stored layer names its files');
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

function hashFile(hash: ReturnType<typeof createHash>, dir: string, name: string, size: number): void {
  const fd = openSync(Buffer.from(dir + name, 'latin1'), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const buffer = Buffer.alloc(1 << 20);
    for (let left = size; left > 0; ) {
      const count = readSync(fd, buffer, 0, Math.min(left, buffer.length), null);
      assert.ok(count > 0, `${name} is shorter than ${size} bytes`);
      hash.update(buffer.subarray(0, count));
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
}
