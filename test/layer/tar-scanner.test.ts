import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Fd } from '../../src/fd/fd.js';
import type { TarEntry } from '../../src/layer/entry.js';
import { TarScanner } from '../../src/layer/tar-scanner.js';
import { dumpLine } from './dump-line.js';
import { dumpedObjectSizes, fixture, fixtureUrl, goldenSplitstream } from './golden.js';
import { Recorder } from './recorder.js';

/** Never opened and never closed: references only carry their names here. */
const NOWHERE = new Fd(1);

const LAYERS = readdirSync(fixtureUrl('cstor-small/layers'));

function lines(recorder: Recorder): string {
  const line = (entry: TarEntry): string =>
    `${dumpLine(entry, recorder.smallContents.get(entry) ?? '', recorder.objectNames.get(entry) ?? '')}\n`;
  return recorder.entries.map(line).join('');
}

describe('TarScanner on layers that cfsctl split', () => {
  for (const layer of LAYERS) {
    const dump = fixture(`cstor-small/layers/${layer}/dump.sha256.txt`).toString('utf8');
    const chunks = goldenSplitstream(`cstor-small/layers/${layer}/splitstream.sha256`);
    const sizes = dumpedObjectSizes(dump);

    it(`${layer}: content by reference gives the dumpfile lines`, () => {
      const recorder = new Recorder();
      const scanner = new TarScanner(recorder);
      for (const chunk of chunks) {
        if (Buffer.isBuffer(chunk)) scanner.bytes(chunk);
        else scanner.reference({ kind: 'named', dir: NOWHERE, name: chunk, size: sizes.get(chunk)! });
      }
      scanner.end();
      assert.equal(lines(recorder), dump);
      assert.deepEqual(recorder.finish().chunks, chunks);
    });

    it(`${layer}: bytes in pieces of any length are split at the same places`, () => {
      // What the content is does not matter for where a tar is split.
      const tar = Buffer.concat(
        chunks.map((chunk) => (Buffer.isBuffer(chunk) ? chunk : Buffer.alloc(sizes.get(chunk)!, 0xa5))),
      );
      for (const step of [1, 7, 511, 512, 1000, 65536, tar.length]) {
        const names = chunks.filter((chunk) => typeof chunk === 'string');
        const recorder = new Recorder(() => names.shift() ?? 'none left');
        const scanner = new TarScanner(recorder);
        for (let pos = 0; pos < tar.length; pos += step) scanner.bytes(tar.subarray(pos, pos + step));
        scanner.end();
        assert.equal(scanner.offset, tar.length);
        assert.equal(lines(recorder), dump);
        assert.deepEqual(recorder.finish().chunks, chunks);
      }
    });
  }
});
