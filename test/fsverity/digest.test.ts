import assert from 'node:assert/strict';
import { constants, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { Fd, openPath } from '../../src/fd/fd.js';
import type { Algorithm } from '../../src/fsverity/algorithm.js';
import { verityDigest, verityDigestOfFd } from '../../src/fsverity/digest.js';
import { algorithmOf, kernels } from '../support/kernels.js';

interface Golden {
  entries: { rule: 'A' | 'B' | 'Z'; size: number; content_sha256: string; sha256: string; sha512: string }[];
}

const golden = JSON.parse(
  readFileSync(new URL('../../../fixtures/fsverity/digests.json', import.meta.url), 'utf8'),
) as Golden;
const longest = Math.max(...golden.entries.map((entry) => entry.size));
const ALGORITHMS: Algorithm[] = ['sha256', 'sha512'];

const rules = {
  A: fill((i) => i * 31 + 7),
  B: fill((i) => (i >> 12) * 13 + i * 31 + 7),
  Z: Buffer.alloc(longest),
};

function fill(byteAt: (offset: number) => number): Buffer {
  const bytes = Buffer.alloc(longest);
  for (let i = 0; i < longest; i++) bytes[i] = byteAt(i);
  return bytes;
}

describe('digests of fsverity-utils', () => {
  for (const { rule, size, ...expected } of golden.entries) {
    const content = rules[rule].subarray(0, size);
    test(`rule ${rule}, ${size} bytes`, () => {
      for (const algorithm of ALGORITHMS) {
        assert.equal(verityDigest(content, algorithm).toString('hex'), expected[algorithm], algorithm);
      }
      for (const kernel of kernels.streamKernels()) {
        const digest = kernels.streamDigest(kernel, content, new Uint32Array());
        assert.equal(digest.toString('hex'), expected.content_sha256, `content, ${kernel}`);
      }
    });
  }

  for (const kernel of kernels.hashKernels()) {
    test(`streamed by ${kernel}`, () => {
      for (const { rule, size, ...expected } of golden.entries) {
        const digest = kernels.kernelDigest(kernel, rules[rule].subarray(0, size), new Uint32Array());
        assert.equal(digest.toString('hex'), expected[algorithmOf(kernel)], `rule ${rule}, ${size} bytes`);
      }
    });
  }

  test('all at once, large and small mixed', () => {
    for (const algorithm of ALGORITHMS) {
      const digests = kernels.verityBatch(
        algorithm,
        golden.entries.map(({ rule, size }) => rules[rule].subarray(0, size)),
      );
      assert.deepEqual(
        digests.map((digest) => digest.toString('hex')),
        golden.entries.map((entry) => entry[algorithm]),
      );
    }
  });
});

describe('open files', () => {
  let folder: string;
  before(async () => void (folder = await mkdtemp(join(tmpdir(), 'cfsbridge-verity-'))));
  after(() => rm(folder, { recursive: true }));

  async function openWith(content: Uint8Array): Promise<Fd> {
    const path = join(folder, `content-${content.length}`);
    await writeFile(path, content);
    return openPath(bytesOf(path));
  }

  for (const { rule, size, ...expected } of golden.entries.filter(({ rule }) => rule === 'B')) {
    test(`rule ${rule}, ${size} bytes`, async () => {
      using fd = await openWith(rules[rule].subarray(0, size));
      for (const algorithm of ALGORITHMS) {
        assert.equal((await verityDigestOfFd(fd, algorithm)).toString('hex'), expected[algorithm], algorithm);
      }
    });
  }

  test('the caller may close its descriptor while the file is hashed', async () => {
    const fd = await openWith(rules.B);
    const digest = verityDigestOfFd(fd, 'sha256');
    fd.close();
    assert.deepEqual(await digest, verityDigest(rules.B, 'sha256'));
  });

  test('an aborted signal ends it with its reason', async () => {
    using fd = await openWith(rules.B);
    const reason = new Error('enough');
    await assert.rejects(verityDigestOfFd(fd, 'sha512', { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const digest = verityDigestOfFd(fd, 'sha512', { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(digest, reason);
  });

  test('what cannot be read is an error with its code', async () => {
    using directory = openPath(bytesOf(folder));
    await assert.rejects(verityDigestOfFd(directory, 'sha256'), { code: 'EISDIR', syscall: 'pread' });
    using path = openPath(bytesOf(folder), constants.O_DIRECTORY | 0o10000000);
    await assert.rejects(verityDigestOfFd(path, 'sha256'), { code: 'EBADF' });
  });
});

test('an unknown algorithm and content that is no Uint8Array are refused', () => {
  assert.throws(() => verityDigest(Buffer.alloc(1), 'md5' as Algorithm), TypeError);
  assert.throws(() => verityDigest('text' as unknown as Uint8Array, 'sha256'), TypeError);
});
