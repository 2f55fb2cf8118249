import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FormatError } from '../../../src/errors.js';
import { openPath } from '../../../src/fd/fd.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { CONTENT_TYPES } from '../../../src/repository/splitstream/format.js';
import { SplitstreamReader, type Piece } from '../../../src/repository/splitstream/reader.js';
import { SplitstreamWriter } from '../../../src/repository/splitstream/writer.js';

const FIXTURES = fileURLToPath(new URL('../../../../fixtures/cstor-small/', import.meta.url));
const IMAGES = ['alpha_v1', 'alpha_v2', 'beta_docker', 'delta_one', 'zeta_f300', 'zeta_twice'];
const LAYERS = [
  '3d8d07c7f8e9eaaa',
  '5f70bf18a0860070',
  '90aaa200e865585b',
  'b13fbf3be5388b86',
  'bdcfc7b673859bb0',
  'c27b4967c689a575',
  'ef5ff96094e1b057',
];

const goldenStreams = (['sha256', 'sha512'] as const).flatMap((algorithm) => {
  const images = IMAGES.flatMap((image) =>
    readdirSync(join(FIXTURES, `images/${image}/streams/${algorithm}`)).map(
      (name) => `images/${image}/streams/${algorithm}/${name}`,
    ),
  );
  const layers = LAYERS.map((layer) => `layers/${layer}/splitstream.${algorithm}`);
  return [...images, ...layers].map((name) => ({ name, algorithm }));
});

const sizes = new Map<string, number>();
for (const name of IMAGES.flatMap((image) => [
  `images/${image}/objects.sha256.v1.txt`,
  `images/${image}/objects.sha512.v1.txt`,
])) {
  for (const line of readFileSync(join(FIXTURES, name), 'utf8').trim().split('\n')) {
    const [id, size] = line.split(' ');
    sizes.set(String(id), Number(size));
  }
}

test('a stream read and written again has the bytes cfsctl wrote', async (t) => {
  for (const { name, algorithm } of goldenStreams) {
    await t.test(name, async () => {
      using reader = SplitstreamReader.open(openPath(join(FIXTURES, name)), algorithm);
      const writer = new SplitstreamWriter(reader.contentType, algorithm);
      const inOrder = [...reader.namedRefs].sort(
        (a, b) => reader.streamRefs.indexOf(a[1]) - reader.streamRefs.indexOf(b[1]),
      );
      for (const [refName, id] of inOrder) writer.addNamedRef(refName, id);
      for await (const pieces of reader.batches()) pieces.forEach((piece) => writePiece(writer, piece));
      assert.equal(BigInt(writer.size), reader.streamSize);
      assert.deepEqual(await writer.finish(), readFileSync(join(FIXTURES, name)));
    });
  }
});

function writePiece(writer: SplitstreamWriter, piece: Piece): void {
  if (piece.kind === 'object') {
    writer.external(piece.id, sizes.get(piece.id) ?? assert.fail(`no size for ${piece.id}`));
  } else {
    // Cut as no writer would: chunks must not depend on how the bytes arrive.
    for (let at = 0; at < piece.bytes.length; at += 1000) writer.inline(piece.bytes.subarray(at, at + 1000));
  }
}

test('the layout before the pinned one is read', async () => {
  const golden = readFileSync(join(FIXTURES, 'images/alpha_v2/streams/sha512/manifest-v1.splitstream'));
  const old = Buffer.from(golden);
  golden.copy(old, 0, 16, 32);
  old.writeUInt16LE(0, 16);
  golden.copy(old, 18, 0, 12);
  golden.copy(old, 30, 14, 16);
  using a = openBytes(golden, 'sha512');
  using b = openBytes(old, 'sha512');
  assert.deepEqual(b.namedRefs, a.namedRefs);
  assert.deepEqual(await collect(b), await collect(a));
});

test('a run longer than one chunk may be is cut between tar blocks', async () => {
  const writer = new SplitstreamWriter(CONTENT_TYPES.layer, 'sha256');
  const id = 'ab'.repeat(32);
  writer.inline(Buffer.alloc(512, 1));
  writer.external(id, 100);
  writer.inline(Buffer.alloc(412));
  const megabyte = Buffer.alloc(1 << 20, 7);
  for (let i = 0; i < 33; i++) writer.inline(megabyte);
  using reader = openBytes(await writer.finish(), 'sha256');
  assert.equal(reader.streamSize, 1024n + 33n * 1048576n);
  const pieces = await collect(reader);
  assert.equal(
    pieces.reduce((sum, piece) => sum + (piece.kind === 'inline' ? piece.bytes.length : 100), 0),
    Number(reader.streamSize),
  );
});

test('damage is refused', async (t) => {
  const golden = readFileSync(join(FIXTURES, 'images/alpha_v2/streams/sha512/manifest-v1.splitstream'));
  const layer = readFileSync(join(FIXTURES, 'layers/c27b4967c689a575/splitstream.sha512'));
  const cases: [string, string, Buffer][] = [
    ['empty file', 'SPLITSTREAM_SHORT', Buffer.alloc(0)],
    ['magic', 'SPLITSTREAM_MAGIC', patched(golden, 3, 0)],
    ['version', 'SPLITSTREAM_VERSION', patched(golden, 11, 1)],
    ['hash', 'SPLITSTREAM_HASH', patched(golden, 14, 1)],
    ['block size', 'SPLITSTREAM_BLOCK_SIZE', patched(golden, 15, 13)],
    ['info too short', 'SPLITSTREAM_INFO', patched(golden, 24, 111)],
    ['info end beyond 2^53', 'SPLITSTREAM_RANGE', patched(golden, 31, 0xff)],
    ['section outside the file', 'SPLITSTREAM_RANGE', patched(golden, 32 + 40 + 2, 1)],
    ['half a digest', 'SPLITSTREAM_TABLE', withRangeEnd(golden, 8, -1)],
    ['names not zstd', 'SPLITSTREAM_ZSTD', patched(golden, Number(golden.readBigUInt64LE(32 + 48)), 0)],
    ['fewer stream refs than names', 'SPLITSTREAM_NAME', withRangeEnd(golden, 8, -64)],
    ['truncated', 'SPLITSTREAM_RANGE', golden.subarray(0, golden.length - 1)],
    ['body truncated', 'SPLITSTREAM_ZSTD', withRangeEnd(layer, 40, -1)],
    ['object index without table', 'SPLITSTREAM_BODY', withRangeEnd(golden, 24, -64)],
  ];
  for (const [name, code, bytes] of cases) {
    await t.test(name, async () => {
      await assert.rejects(
        async () => {
          using reader = openBytes(bytes, 'sha512');
          await collect(reader);
        },
        (error) => error instanceof FormatError && error.code === code,
      );
    });
  }
});

function patched(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}

/** Moves the end of a section; `field` is where the info section keeps it. */
function withRangeEnd(bytes: Buffer, field: number, by: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeBigUInt64LE(copy.readBigUInt64LE(32 + field) + BigInt(by), 32 + field);
  return copy;
}

function openBytes(bytes: Buffer, algorithm: Algorithm): SplitstreamReader {
  const dir = mkdtempSync(join(tmpdir(), 'splitstream-'));
  try {
    writeFileSync(join(dir, 'stream'), bytes);
    return SplitstreamReader.open(openPath(join(dir, 'stream')), algorithm);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function collect(reader: SplitstreamReader): Promise<Piece[]> {
  const all: Piece[] = [];
  for await (const pieces of reader.batches()) all.push(...pieces);
  return all;
}
