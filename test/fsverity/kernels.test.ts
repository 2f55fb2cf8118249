import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import type { Algorithm } from '../../src/fsverity/algorithm.js';
import { referenceVerity } from '../support/reference-verity.js';
import { algorithmOf, kernels } from '../support/kernels.js';
import { noise, Random } from '../support/random.js';

const pool = noise(700_000, 'content');

interface Case {
  content: Buffer;
  pieces: Uint32Array;
  /** in hex */
  expected: Record<Algorithm, string>;
}

/** Contents of random length at random alignment, with what the definition of fs-verity makes of them. */
const cases: Case[] = Array.from({ length: 60 }, (_, index) => {
  const random = new Random(index + 1);
  const start = random.upTo(200);
  const content = pool.subarray(start, start + random.upTo([300, 5000, 40_000, 300_000, 600_000][index % 5]!));
  const expected = { sha256: referenceVerity(content, 'sha256'), sha512: referenceVerity(content, 'sha512') };
  return { content, pieces: random.pieces(content.length), expected };
});

for (const kernel of kernels.hashKernels()) {
  const algorithm = algorithmOf(kernel);
  describe(kernel, () => {
    test('streams in random pieces', () => {
      for (const { content, pieces, expected } of cases) {
        const digest = kernels.kernelDigest(kernel, content, pieces);
        assert.equal(digest.toString('hex'), expected[algorithm], `${content.length} bytes`);
      }
    });

    for (const count of [1, 2, 15, 17, cases.length]) {
      test(`hashes ${count} files side by side`, () => {
        const some = cases.slice(0, count);
        const digests = kernels.kernelBatch(
          kernel,
          some.map(({ content }) => content),
        );
        assert.deepEqual(
          digests.map((digest) => digest.toString('hex')),
          some.map(({ expected }) => expected[algorithm]),
        );
      });
    }
  });
}

for (const algorithm of ['sha256', 'sha512'] as const) {
  test(`${algorithm}: hundreds of files with the kernels that are best here`, () => {
    const many = [...cases, ...cases.toReversed(), ...cases, ...cases];
    const digests = kernels.verityBatch(
      algorithm,
      many.map(({ content }) => content),
    );
    assert.deepEqual(
      digests.map((digest) => digest.toString('hex')),
      many.map(({ expected }) => expected[algorithm]),
    );
  });
}

for (const kernel of kernels.streamKernels()) {
  describe(`plain SHA-256 by ${kernel}`, () => {
    test('in random pieces', () => {
      for (const { content, pieces } of cases) {
        const expected = createHash('sha256').update(content).digest();
        assert.deepEqual(kernels.streamDigest(kernel, content, pieces), expected, `${content.length} bytes`);
      }
    });

    test('of every length around the padding', () => {
      for (let length = 0; length <= 200; length++) {
        const content = pool.subarray(3, 3 + length);
        const expected = createHash('sha256').update(content).digest();
        assert.deepEqual(kernels.streamDigest(kernel, content, new Uint32Array()), expected, `${length} bytes`);
      }
    });
  });
}
