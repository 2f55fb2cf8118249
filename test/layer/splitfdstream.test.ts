import assert from 'node:assert/strict';
import { constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { FormatError } from '../../src/errors.js';
import { openPath, type Fd } from '../../src/fd/fd.js';
import { PartWriter } from '../../src/fd/part-writer.js';
import { sourceFromFd } from '../../src/fd/byte-source.js';
import { completeLegacyTar, stripForLegacy } from '../../src/layer/legacy-tar.js';
import { decodeSplitfdstream, encodeSplitfdstream } from '../../src/layer/splitfdstream.js';
import type { LayerStream } from '../../src/layer/stream.js';
import { TemporaryFolder } from '../support/filesystems.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { fixture, fixtureUrl } from './golden.js';
import { drain, memorySource, openDescriptors, randomPieces, tarDigest } from '../support/layers/streams.js';

interface Recorded {
  layer: number;
  layerId: string;
  chunks: number[];
  fds: { path: string; size: number }[];
  reassembled_sha256: string;
}

const CASES = ['alpha_v2', 'zeta_dotgz', 'zeta_f300'].flatMap((image) => {
  const { streams } = JSON.parse(fixture(`splitfdstream/${image}/index.json`).toString()) as { streams: Recorded[] };
  return streams.map((record) => ({ image, record, file: `splitfdstream/${image}/layer-${record.layer}.memfd` }));
});

/**
 * A layer without whiteouts that buildah committed: its tar was written by the code that the server writes its streams
 * with, so the completed stream has its diff_id.
 */
const REPRODUCED: Record<string, string> = { 'alpha_v2/0': 'c27b4967c689a575' };

describe('splitfdstream', () => {
  let store: SmallStore;
  before(() => {
    store = unpackSmallStore();
  });
  after(() => store.remove());

  function openFiles(record: Recorded): Fd[] {
    return record.fds.map(({ path }) =>
      openPath(bytesOf(join(store.graphroot, 'overlay', record.layerId, 'diff', path))),
    );
  }

  for (const { image, record, file } of CASES) {
    const name = `${image} layer ${record.layer}`;
    const open = (): LayerStream =>
      decodeSplitfdstream(sourceFromFd(openPath(bytesOf(fileURLToPath(fixtureUrl(file))))), openFiles(record));

    it(`${name}: gives the recorded chunks, content and digest`, async () => {
      const descriptors = openDescriptors();
      const chunks: [string, number][] = [];
      await drain(open(), (chunk) => {
        chunks.push([chunk.kind, chunk.kind === 'bytes' ? chunk.bytes.length : chunk.kind === 'fd' ? chunk.size : -1]);
        if (chunk.kind === 'fd') chunk.fd.close();
      });
      assert.deepEqual(
        chunks,
        record.chunks.map((chunk) => (chunk < 0 ? ['bytes', -chunk] : ['fd', record.fds[chunk]!.size])),
      );
      assert.equal(await tarDigest(open()), record.reassembled_sha256);
      assert.equal(openDescriptors(), descriptors);
    });

    it(`${name}: is completed to a tar and taken back, wherever it is cut`, async () => {
      const bytes = fixture(file);
      const reproduced = REPRODUCED[`${image}/${record.layer}`];
      const whole = await tarDigest(completeLegacyTar(open()));
      if (reproduced !== undefined) assert.equal(whole.slice(0, 16), reproduced);
      for (const [seed, longest] of [
        [1, 9],
        [2, 300],
        [3, 5000],
      ] as const) {
        const pieces = (): LayerStream =>
          decodeSplitfdstream(memorySource(randomPieces(bytes, seed, longest)), openFiles(record));
        assert.equal(await tarDigest(completeLegacyTar(pieces())), whole);
        const fds: Fd[] = [];
        using folder = new TemporaryFolder();
        const path = join(folder.path, 'again');
        using out = openPath(bytesOf(path), constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
        await using stripped = stripForLegacy(completeLegacyTar(pieces()));
        await using parts = new PartWriter(out.number);
        await encodeSplitfdstream(stripped, parts, () => true, fds);
        assert.equal(await parts.end(), bytes.length);
        const again = readFileSync(path);
        // Headers come as one chunk again, so nothing differs from what the server wrote.
        assert.deepEqual(again, bytes);
        assert.deepEqual(
          fds.map((fd) => fd.stat().ino),
          openAndStat(record),
        );
        for (const fd of fds) fd.close();
      }
    });

    it(`${name}: comes back the same when small files travel inside`, async () => {
      using folder = new TemporaryFolder();
      const path = join(folder.path, 'stream');
      const whole = await tarDigest(completeLegacyTar(open()));
      for (const limit of [0, 100, 5000, Infinity]) {
        const fds: Fd[] = [];
        {
          using out = openPath(bytesOf(path), constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
          await using stripped = stripForLegacy(completeLegacyTar(open()));
          await using parts = new PartWriter(out.number, { position: 0 });
          await encodeSplitfdstream(stripped, parts, (size) => size > limit, fds);
          await parts.end();
        }
        assert.equal(fds.length, record.fds.filter(({ size }) => size > limit).length);
        assert.equal(
          await tarDigest(completeLegacyTar(decodeSplitfdstream(sourceFromFd(openPath(bytesOf(path))), fds))),
          whole,
        );
      }
    });
  }

  function openAndStat(record: Recorded): bigint[] {
    return openFiles(record).map((fd) => {
      using file = fd;
      return file.stat().ino;
    });
  }
});

describe('hostile splitfdstreams', () => {
  const prefix = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  };
  const self = fileURLToPath(import.meta.url);
  const files: [string, string[]][] = [
    ['file', [self, self]],
    ['directory', ['/']],
    ['device', ['/dev/zero']],
  ];
  const opened = (kind: string): Fd[] =>
    files.find(([name]) => name === kind)![1].map((path) => openPath(bytesOf(path)));

  const cases: [what: string, kind: string, stream: Buffer, message: RegExp][] = [
    ['an index that did not come', 'file', prefix(2n), /did not come; there are 2/],
    ['an index of more than 32 bits', 'file', prefix(1n << 32n), /did not come/],
    ['the largest index', 'file', prefix((1n << 63n) - 1n), /did not come/],
    ['an index used twice', 'file', Buffer.concat([prefix(1n), prefix(1n)]), /file 1 is named twice/],
    ['inline data of 2^63 bytes', 'file', prefix(-(1n << 63n)), /out of range/],
    ['inline data of 2^53 bytes', 'file', prefix(-(1n << 53n)), /out of range/],
    ['inline data that is cut', 'file', Buffer.concat([prefix(-(1n << 40n)), Buffer.alloc(100)]), /middle of a chunk/],
    ['a prefix that is cut', 'file', prefix(-1n).subarray(0, 7), /middle of a chunk/],
    ['a directory as content', 'directory', prefix(0n), /not a regular file/],
    ['a device as content', 'device', prefix(0n), /not a regular file/],
  ];
  for (const [what, kind, stream, message] of cases) {
    it(`refuses ${what}`, async () => {
      const descriptors = openDescriptors();
      await assert.rejects(drain(decodeSplitfdstream(memorySource([stream]), opened(kind))), (error: unknown) => {
        assert.ok(error instanceof FormatError);
        assert.match(error.message, message);
        assert.equal(typeof error.place.offset, 'number');
        return true;
      });
      assert.equal(openDescriptors(), descriptors);
    });
  }

  it('closes what was not handed out when the consumer stops, early or before it began', async () => {
    const descriptors = openDescriptors();
    const stream = Buffer.concat(Array.from({ length: 600 }, (_, i) => prefix(BigInt(i))));
    const many = (): Fd[] => Array.from({ length: 600 }, () => openPath(bytesOf(self)));
    {
      await using layer = decodeSplitfdstream(memorySource([stream]), many());
      for await (const batch of layer) {
        assert.equal(batch.length, 256);
        for (const chunk of batch) if (chunk.kind === 'fd') chunk.fd.close();
        break;
      }
    }
    await decodeSplitfdstream(memorySource([stream]), many())[Symbol.asyncDispose]();
    const lost = completeLegacyTar(decodeSplitfdstream(memorySource([stream]), many()));
    await assert.rejects(drain(lost), /a file comes where the tar has no place for one/);
    assert.equal(openDescriptors(), descriptors);
  });

  it('ends every changed or cut stream with a FormatError or a result, and leaks nothing', async () => {
    const golden = fixture('splitfdstream/zeta_dotgz/layer-0.memfd');
    const descriptors = openDescriptors();
    let refused = 0;
    for (let i = 0; i < 1500; i++) {
      const stream = Buffer.from(golden);
      const at = Math.imul(i, 7919) % golden.length;
      stream[at] = [0, 0xff, stream[at]! ^ (1 << (i % 8))][i % 3]!;
      const cut = i % 5 === 0 ? stream.subarray(0, at) : stream;
      const fds = Array.from({ length: 6 }, () => openPath(bytesOf(self)));
      try {
        await drain(completeLegacyTar(decodeSplitfdstream(memorySource([cut]), fds)));
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
        refused++;
      }
    }
    assert.ok(refused > 100);
    assert.equal(openDescriptors(), descriptors);
  });
});
