// put-image.program.js FROM TO NAME STEP   puts an image of the store FROM into TO, and kills itself before STEP
//
// A step is whatever changes something on the disk. Without STEP it ends well and prints how many there are. The calls
// are counted where they leave JavaScript: what a layer consists of is written by native threads, in one step.
import { constants } from 'node:fs';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { files } from '../../../src/native.js';

const [, , from = '', to = '', name = '', last] = process.argv;
let steps = 0;

function step(): void {
  if (++steps === Number(last)) process.kill(process.pid, 'SIGKILL');
}

/** Counts the calls of some functions of an object, as far as they change anything. */
function count(object: object, names: readonly string[], changes: (...args: never[]) => boolean = () => true): void {
  const functions = object as Record<string, (...args: never[]) => unknown>;
  for (const called of names) {
    const original = functions[called]!;
    functions[called] = (...args) => {
      if (changes(...args)) step();
      return original.apply(object, args);
    };
  }
}

count(files, ['mkdirat', 'symlinkat', 'renameat2', 'unlinkat', 'ofdLock', 'syncfs']);
count(files, ['openat2'], (_dir, _name, flags: number) => (flags & constants.O_CREAT) !== 0);
count(fs, ['write', 'writeSync', 'fsync', 'fchmod', 'fchmodSync', 'fchownSync']);
syncBuiltinESMExports();

// Whoever imports a function keeps the one that it gets.
const { Store } = await import('../../../src/storage/store.js');
const { openStoreForWriting } = await import('../../../src/storage/write/open.js');
using source = Store.open({ graphroot: from });
await using store = await openStoreForWriting({ graphroot: to });
const image = await source.image(name);
let topLayer: string | undefined;
for (const { id, diffId } of await source.layers(image)) {
  const stream = await source.layerStream({ id }, { lease: 'descriptors' });
  ({ id: topLayer } = await store.putLayer(stream, { parent: topLayer, diffId: diffId! }));
}
await store.putImage({ manifest: image.manifest(), config: image.config(), topLayer, names: image.names });
console.log(steps);
