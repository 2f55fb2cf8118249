import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { FormatError } from '../../src/errors.js';
import { TarScanner } from '../../src/layer/tar-scanner.js';
import { fixtureUrl, goldenSplitstream } from './golden.js';
import { signed } from '../support/layers/make-tar.js';
import { Recorder } from './recorder.js';
import { randomPieces } from '../support/layers/streams.js';

/** What a scanner says about the pieces of a tar: its entries and chunks, or how it refused them. */
function outcome(pieces: Iterable<Buffer>): unknown {
  const recorder = new Recorder();
  const scanner = new TarScanner(recorder);
  try {
    for (const piece of pieces) scanner.bytes(piece);
    scanner.end();
  } catch (error) {
    assert.ok(error instanceof FormatError, String(error));
    return [recorder.entries, error.code, error.place];
  }
  return recorder.finish();
}

describe('a damaged tar', () => {
  // Without the content between them the inline chunks are tars themselves as far as their first large file.
  for (const layer of readdirSync(fixtureUrl('cstor-small/layers'))) {
    it(`${layer}: gives one outcome wherever it is cut`, () => {
      const inline = goldenSplitstream(`cstor-small/layers/${layer}/splitstream.sha256`).filter((chunk) =>
        Buffer.isBuffer(chunk),
      );
      for (const [number, chunk] of inline.slice(0, 40).entries()) {
        // Every chunk after the first begins with the padding of the file before it.
        const tar = number === 0 ? chunk : chunk.subarray(chunk.length % 512);
        for (let i = 0; i < 60 && tar.length > 0; i++) {
          const damaged = Buffer.from(tar);
          const block = 512 * ((i * 13) % Math.ceil(tar.length / 512));
          const at = Math.min(tar.length - 1, block + (Math.imul(i, 7919) % 512));
          damaged[at] = [0, 0xff, 0x20, damaged[at]! ^ (1 << (i % 8))][i % 4]!;
          // Half of the damaged headers get a checksum that fits, to be read any further.
          if (i % 2 === 0 && block + 512 <= tar.length) signed(damaged.subarray(block, block + 512));
          assert.deepEqual(outcome(randomPieces(damaged, i, 700)), outcome([damaged]));
        }
      }
    });
  }
});
