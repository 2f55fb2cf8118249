// Reads an image of a store, as its user: `node read-layers.program.js GRAPHROOT NAME [wait]`. Twice, and prints what
// is left of it; or stops in the middle of a layer until Ctrl-C.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { closeChunk } from '../../src/layer/stream.js';
import { withoutLeak } from '../support/open-fds.js';

const [graphroot = '', name = '', wait] = process.argv.slice(2);
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
const { signal } = interrupted;

async function readAll(): Promise<number> {
  let bytes = 0;
  await using image = await openStorageImage(name, { graphroot, signal });
  for (const layer of image.layers) {
    await using stream = await layer.open({ signal });
    for await (const chunks of stream) {
      for (const chunk of chunks) {
        bytes += chunk.kind === 'bytes' ? chunk.bytes.length : chunk.size;
        closeChunk(chunk);
      }
      if (wait === undefined) continue;
      process.stdout.write('reading\n');
      const awake = setInterval(() => {}, 1000);
      await once(signal, 'abort');
      clearInterval(awake);
      return bytes;
    }
  }
  return bytes;
}

// What is loaded and kept for good is there after the first time.
await readAll();
if (wait === undefined) {
  const bytes = await withoutLeak(readAll);
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
  process.stdout.write(JSON.stringify({ bytes, children }));
}
