import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { FormatError } from '../../src/errors.js';
import { Fd, openPath } from '../../src/fd/fd.js';
import { sourceFromFd } from '../../src/fd/byte-source.js';
import { decodeSplitdirfdstream } from '../../src/layer/splitdirfdstream-decoder.js';
import { encodeSplitdirfdstream } from '../../src/layer/splitdirfdstream-encoder.js';
import type { LayerStream } from '../../src/layer/stream.js';
import { TarScanner } from '../../src/layer/tar-scanner.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { fixture, fixtureUrl } from './golden.js';
import { Recorder } from './recorder.js';
import { collect, drain, memorySource, openDescriptors, randomPieces, tarDigest } from '../support/layers/streams.js';

interface RecordedChunk {
  type: 'metadata' | 'inline' | 'file';
  length: number;
  dirfd?: number;
  name?: string;
}

interface Recorded {
  diff_id: string;
  dir_count: number;
  fds: string[];
  file: string;
  chunks: RecordedChunk[];
}

const IMAGES = ['alpha_v2', 'zeta_dotgz', 'zeta_f300'];

function recorded(image: string, index: string): Recorded[] {
  const all = JSON.parse(fixture(`splitdirfdstream/${image}/${index}.json`).toString()) as Recorded[];
  return all.filter(({ file }) => existsSync(fixtureUrl(`splitdirfdstream/${image}/${file}`)));
}

const CASES = IMAGES.flatMap((image) =>
  ['index', 'repo-sha256'].flatMap((index) => recorded(image, index).map((record) => ({ image, record }))),
);

describe('splitdirfdstream', () => {
  let store: SmallStore;
  let objects: string;

  before(() => {
    store = unpackSmallStore();
    objects = mkdtempSync(join(tmpdir(), 'objects-'));
    for (const { image, record } of CASES) if (record.file.includes('.repo-')) copyObjects(image, record);
  });
  after(() => {
    store.remove();
    rmSync(objects, { recursive: true, force: true });
  });

  /** Puts the files of a layer where a repository has them, by the names its dumpfile gives. */
  function copyObjects(image: string, record: Recorded): void {
    const id = record.diff_id.slice('sha256:'.length);
    const source = recorded(image, 'index').find((other) => other.diff_id === record.diff_id)!;
    const roots = slotPaths(source).filter((path) => path.startsWith(store.graphroot));
    for (const line of fixture(`cstor-small/layers/${id.slice(0, 16)}/dump.sha256.txt`)
      .toString('utf8')
      .split('\n')) {
      const [path = '', , , , , , , , , , digest = '-'] = line.split(' ');
      if (digest === '-') continue;
      const name = Buffer.from(path.replace(/\\(?:x(..)|(.))/g, unescape), 'latin1');
      const file = roots
        .map((root) => Buffer.concat([Buffer.from(root), name]))
        .find((candidate) => existsSync(candidate));
      mkdirSync(join(objects, digest.slice(0, 2)), { recursive: true });
      copyFileSync(file!, join(objects, digest.slice(0, 2), digest.slice(2)));
    }
  }

  function slotPaths(record: Recorded): string[] {
    return record.fds
      .slice(1, 1 + record.dir_count)
      .map((fd) =>
        fd.startsWith('dir')
          ? fd.slice('dir '.length).replace('GRAPHROOT', store.graphroot).replace('REPO/objects', objects)
          : '/dev/null',
      );
  }

  function openSlots(record: Recorded): Fd[] {
    return slotPaths(record).map((path) => openPath(bytesOf(path)));
  }

  function open(image: string, record: Recorded): LayerStream {
    const path = fileURLToPath(fixtureUrl(`splitdirfdstream/${image}/${record.file}`));
    return decodeSplitdirfdstream(sourceFromFd(openPath(bytesOf(path))), openSlots(record));
  }

  for (const { image, record } of CASES) {
    const name = `${image} ${record.file}`;
    const bytes = fixture(`splitdirfdstream/${image}/${record.file}`);

    it(`${name}: gives the recorded chunks`, async () => {
      const chunks: RecordedChunk[] = [];
      await drain(decodeSplitdirfdstream(memorySource([bytes]), openSlots(record)), (chunk) => {
        if (chunk.kind === 'bytes') chunks.push({ type: 'metadata', length: chunk.bytes.length });
        else if (chunk.kind === 'named')
          chunks.push({ type: 'file', length: chunk.size, name: Buffer.from(chunk.name, 'latin1').toString() });
      });
      const expected = record.chunks.map(({ type, length, name }) =>
        type === 'file' ? { type, length, name } : { type: 'metadata', length },
      );
      assert.deepEqual(chunks, expected);
    });

    it(`${name}: is the tar of the diff_id`, async () => {
      const descriptors = openDescriptors();
      assert.equal(`sha256:${await tarDigest(open(image, record))}`, record.diff_id);
      assert.equal(openDescriptors(), descriptors);
    });

    it(`${name}: is read the same wherever it is cut`, async () => {
      for (const [seed, longest] of [
        [1, 3],
        [2, 30],
        [3, 3000],
      ] as const) {
        const whole = new Recorder();
        const cut = new Recorder();
        for (const [recorder, pieces] of [
          [whole, [bytes]],
          [cut, randomPieces(bytes, seed, longest)],
        ] as const) {
          const scanner = new TarScanner(recorder);
          await drain(decodeSplitdirfdstream(memorySource(pieces), openSlots(record)), (chunk) =>
            chunk.kind === 'bytes' ? scanner.bytes(chunk.bytes) : scanner.reference(chunk),
          );
          scanner.end();
        }
        assert.deepEqual(cut.finish(), whole.finish());
      }
    });

    it(`${name}: survives being written again, by reference and without`, async () => {
      const slots = openSlots(record);
      await using layer = decodeSplitdirfdstream(memorySource([bytes]), slots);
      const again = await collect(encodeSplitdirfdstream(layer, ({ dir }) => slots.indexOf(dir)));
      // A repository's stream has its metadata joined and small files inside it, as ours has.
      if (record.file.includes('.repo-')) assert.deepEqual(again, bytes);
      const copy = (): LayerStream => decodeSplitdirfdstream(memorySource([again]), openSlots(record));
      assert.equal(`sha256:${await tarDigest(copy())}`, record.diff_id);

      await using second = copy();
      const inline = await collect(encodeSplitdirfdstream(second, () => undefined));
      assert.equal(`sha256:${await tarDigest(decodeSplitdirfdstream(memorySource([inline]), []))}`, record.diff_id);
    });
  }

  it('reads from a pipe, and stops waiting when it is disposed', async () => {
    const { image, record } = CASES.find(({ record }) => record.file === 'layer-0.splitdirfdstream')!;
    const fifo = join(objects, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const descriptors = openDescriptors();
    const path = fileURLToPath(fixtureUrl(`splitdirfdstream/${image}/${record.file}`));
    const reading = (): LayerStream =>
      decodeSplitdirfdstream(
        sourceFromFd(openPath(bytesOf(fifo), constants.O_RDONLY | constants.O_NONBLOCK)),
        openSlots(record),
      );

    const layer = reading();
    const recorder = new Recorder();
    const scanner = new TarScanner(recorder);
    spawn('sh', ['-c', 'cat "$0" > "$1"', path, fifo], { stdio: 'ignore' });
    // A reader sees the end of a pipe that nobody has opened for writing yet.
    const writer = openPath(bytesOf(fifo), constants.O_WRONLY);
    setTimeout(() => writer.close(), 300);
    await drain(layer, (chunk) => (chunk.kind === 'bytes' ? scanner.bytes(chunk.bytes) : scanner.reference(chunk)));
    scanner.end();
    assert.equal(recorder.finish().chunks.filter((chunk) => typeof chunk === 'string').length > 0, true);

    const silent = reading();
    using held = openPath(bytesOf(fifo), constants.O_WRONLY);
    const iterator = silent[Symbol.asyncIterator]();
    const pending = iterator.next().then(
      ({ done }) => done,
      () => true,
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    await silent[Symbol.asyncDispose]();
    assert.equal(await pending, true);
    held.close();
    assert.equal(openDescriptors(), descriptors);
  });
});

describe('hostile splitdirfdstreams', () => {
  const dir = (): Fd => openPath('/');
  const bytesChunk = (type: number, length: number, body = ''): Buffer => {
    const header = Buffer.alloc(5);
    header[0] = type;
    header.writeUInt32LE(length, 1);
    return Buffer.concat([header, Buffer.from(body)]);
  };
  const fileChunk = (size: bigint, slot: number, name: string, nameLength = name.length): Buffer => {
    const header = Buffer.alloc(17);
    header[0] = 2;
    header.writeBigUInt64LE(size, 1);
    header.writeUInt32LE(slot, 9);
    header.writeUInt32LE(nameLength, 13);
    return Buffer.concat([header, Buffer.from(name, 'latin1')]);
  };
  const cases: [what: string, stream: Buffer, message: RegExp][] = [
    ['unknown type', Buffer.from([3]), /unknown chunk type 3/],
    ['metadata over the limit', bytesChunk(0, 0x1000_0001), /268435457 bytes/],
    ['inline data over the limit', bytesChunk(1, 0xffff_ffff), /4294967295 bytes/],
    ['size beyond 53 bits', fileChunk(1n << 53n, 0, 'f'), /out of range/],
    ['size beyond 63 bits', fileChunk((1n << 64n) - 1n, 0, 'f'), /out of range/],
    ['slot that did not come', fileChunk(1n, 1, 'f'), /directory 1 of 1/],
    ['largest slot', fileChunk(1n, 0xffff_ffff, 'f'), /directory 4294967295 of 1/],
    ['name over the limit', fileChunk(1n, 0, '', 4097), /4097 bytes/],
    ['empty name', fileChunk(1n, 0, ''), /not allowed/],
    ['absolute name', fileChunk(1n, 0, '/etc/shadow'), /not allowed/],
    ['name that leaves', fileChunk(1n, 0, 'a/../../b'), /not allowed/],
    ['name that is ..', fileChunk(1n, 0, '..'), /not allowed/],
    ['name with NUL', fileChunk(1n, 0, 'a\0b'), /not allowed/],
    ['cut header', bytesChunk(0, 10).subarray(0, 3), /middle of a chunk/],
    ['cut body', bytesChunk(0, 10, 'four'), /middle of a chunk/],
    ['cut name', fileChunk(1n, 0, 'abc', 10), /middle of a chunk/],
  ];
  for (const [what, stream, message] of cases) {
    it(`refuses ${what}`, async () => {
      const descriptors = openDescriptors();
      await assert.rejects(drain(decodeSplitdirfdstream(memorySource([stream]), [dir()])), (error: unknown) => {
        assert.ok(error instanceof FormatError);
        assert.match(error.message, message);
        assert.equal(typeof error.place.offset, 'number');
        return true;
      });
      assert.equal(openDescriptors(), descriptors);
    });
  }

  it('takes names with dots that do not leave', async () => {
    const names: string[] = [];
    const stream = Buffer.concat(['..a', 'a..', 'a/...'].map((name) => fileChunk(1n, 0, name)));
    await drain(
      decodeSplitdirfdstream(memorySource([stream]), [dir()]),
      (chunk) => chunk.kind === 'named' && names.push(chunk.name),
    );
    assert.deepEqual(names, ['..a', 'a..', 'a/...']);
  });

  it('ends every changed or cut stream with a FormatError or a result', async () => {
    const golden = fixture('splitdirfdstream/zeta_dotgz/layer-0.nocap.splitdirfdstream');
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const stream = Buffer.from(golden);
      // Every byte of the chunks up to the tar's end is hit, with low, high and flipped values.
      const at = Math.imul(i, 7919) % golden.length;
      stream[at] = [0, 0xff, stream[at]! ^ (1 << (i % 8))][i % 3]!;
      const cut = i % 5 === 0 ? stream.subarray(0, at) : stream;
      const scanner = new TarScanner(new Recorder());
      try {
        await drain(decodeSplitdirfdstream(memorySource([cut]), [dir(), dir()]), (chunk) =>
          chunk.kind === 'bytes' ? scanner.bytes(chunk.bytes) : scanner.reference(chunk),
        );
        scanner.end();
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
        refused++;
      }
    }
    assert.ok(refused > 300);
  });
});

function unescape(_whole: string, hex: string | undefined, letter: string | undefined): string {
  if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
  return { n: '\n', t: '\t', r: '\r' }[letter!] ?? letter!;
}
