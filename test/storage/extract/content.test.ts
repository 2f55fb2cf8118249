// Where content comes from: clones on file systems that have them, copies elsewhere, and what it is checked for.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { bytesOf } from '../../../src/bytes.js';
import { openDirectoryPath, openPath } from '../../../src/fd/fd.js';
import type { Chunk, LayerStream } from '../../../src/layer/stream.js';
import type { ExtractedLayer, ExtractOptions } from '../../../src/storage/extract/extract-layer.js';
import { LoopFilesystem, TemporaryFolder, whyNoLoop, type FilesystemType } from '../../support/filesystems.js';
import { extractTo } from '../../support/layers/extract-to.js';
import { END, header } from '../../support/layers/make-tar.js';
import { withoutLeak } from '../../support/open-fds.js';
import { noise } from '../../support/random.js';

const { uid, gid } = statSync('/proc/self');
const SIZES = [65, 4095, 4096, 4097, 100_000, 3_000_001];
const nameOf = (size: number): string => `file-${size}`;

/** A layer of files that lie in a folder, by name and opened in turn. */
function layerOf(source: string, sizes: readonly number[] = SIZES): LayerStream {
  const dir = openDirectoryPath(bytesOf(source));
  return {
    async *[Symbol.asyncIterator]() {
      for (const [index, size] of sizes.entries()) {
        const name = nameOf(size);
        const content: Chunk =
          index % 2 === 0
            ? { kind: 'named', dir, name, size }
            : { kind: 'fd', fd: openPath(bytesOf(join(source, name))), size };
        yield [
          { kind: 'bytes' as const, bytes: header({ name, size, uid, gid, mode: 0o640, mtime: 1000 }) },
          content,
          { kind: 'bytes' as const, bytes: Buffer.alloc((512 - (size % 512)) % 512) },
        ];
      }
      yield [{ kind: 'bytes' as const, bytes: END }];
    },
    async [Symbol.asyncDispose]() {
      dir.close();
    },
  };
}

function makeSource(folder: string): string {
  const source = join(folder, 'source');
  mkdirSync(source);
  for (const size of SIZES) writeFileSync(join(source, nameOf(size)), noise(size, `of ${size}`));
  return source;
}

function tarOf(): Buffer {
  return Buffer.concat([
    ...SIZES.flatMap((size) => [
      header({ name: nameOf(size), size, uid, gid, mode: 0o640, mtime: 1000 }),
      noise(size, `of ${size}`),
      Buffer.alloc((512 - (size % 512)) % 512),
    ]),
    END,
  ]);
}

let unpacked = 0;
async function unpack(
  folder: string,
  stream: LayerStream,
  options?: ExtractOptions,
): Promise<ExtractedLayer & { diff: string }> {
  const diff = join(folder, `diff-${unpacked++}`);
  mkdirSync(diff);
  return { ...(await withoutLeak(async () => await extractTo(stream, diff, `${diff}.tar-split`, options))), diff };
}

function checkFiles(diff: string): void {
  for (const size of SIZES) {
    const path = join(diff, nameOf(size));
    assert.ok(readFileSync(path).equals(noise(size, `of ${size}`)), path);
    assert.deepEqual([statSync(path).mode.toString(8), statSync(path).mtimeMs], ['100640', 1_000_000]);
  }
}

const DIFF_ID = `sha256:${createHash('sha256').update(tarOf()).digest('hex')}`;
const TOTAL = SIZES.reduce((sum, size) => sum + size, 0);

for (const type of ['btrfs', 'xfs'] satisfies FilesystemType[])
  describe(`on ${type}`, { skip: whyNoLoop(type) }, () => {
    test('every file is cloned, and all of its extents are shared', async () => {
      using filesystem = new LoopFilesystem(type);
      const source = makeSource(filesystem.path);
      execFileSync('sync', ['-f', filesystem.path]);
      const { diff, ...extracted } = await unpack(filesystem.path, layerOf(source), { zeroCopy: true });
      assert.equal(extracted.diffId, DIFF_ID);
      assert.deepEqual(
        [extracted.cloned, extracted.clonedBytes, extracted.copied, extracted.inline],
        [SIZES.length, TOTAL, 0, 0],
      );
      checkFiles(diff);
      for (const size of SIZES.filter((one) => one > 4096)) {
        const extents = execFileSync('filefrag', ['-v', join(diff, nameOf(size))], { encoding: 'utf8' })
          .split('\n')
          .filter((line) => /^ +\d+:/.test(line));
        assert.ok(extents.length > 0, nameOf(size));
        for (const extent of extents) assert.match(extent, /shared/, nameOf(size));
      }
    });

    test('a source that changed a moment ago, or that is not settled, is read as it was cloned', async () => {
      using filesystem = new LoopFilesystem(type);
      const source = makeSource(filesystem.path);
      const { diff, diffId } = await unpack(filesystem.path, layerOf(source));
      assert.equal(diffId, DIFF_ID);
      checkFiles(diff);
    });
  });

test('what is written over the source meanwhile does not count', { skip: whyNoLoop('btrfs') }, async () => {
  using filesystem = new LoopFilesystem('btrfs');
  const source = makeSource(filesystem.path);
  // Until its times of change are old enough for the source itself to be read.
  while (Date.now() - statSync(join(source, nameOf(65))).ctimeMs < 4000) execFileSync('sleep', ['1']);
  const stop = new AbortController();
  const large = join(source, nameOf(3_000_001));
  const writing = (async () => {
    while (!stop.signal.aborted) {
      writeFileSync(large, Buffer.alloc(1000), { flag: 'r+' });
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  try {
    for (let round = 0; round < 10; round++) {
      const { diff, diffId } = await unpack(filesystem.path, layerOf(source));
      const tar = Buffer.concat([
        ...SIZES.flatMap((size) => [
          header({ name: nameOf(size), size, uid, gid, mode: 0o640, mtime: 1000 }),
          readFileSync(join(diff, nameOf(size))),
          Buffer.alloc((512 - (size % 512)) % 512),
        ]),
        END,
      ]);
      assert.equal(diffId, `sha256:${createHash('sha256').update(tar).digest('hex')}`);
    }
  } finally {
    stop.abort();
    await writing;
  }
});

describe('where nothing can be cloned', () => {
  test('content is copied', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4', 64);
    const source = makeSource(filesystem.path);
    const { diff, ...extracted } = await unpack(filesystem.path, layerOf(source));
    assert.equal(extracted.diffId, DIFF_ID);
    assert.deepEqual([extracted.copied, extracted.copiedBytes, extracted.cloned], [SIZES.length, TOTAL, 0]);
    checkFiles(diff);
  });

  test('also from another file system', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4', 64);
    using folder = new TemporaryFolder();
    const { diff, copied, diffId } = await unpack(filesystem.path, layerOf(makeSource(folder.path)));
    assert.deepEqual([copied, diffId], [SIZES.length, DIFF_ID]);
    checkFiles(diff);
  });

  test('and with zeroCopy that is an error', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4', 64);
    const source = makeSource(filesystem.path);
    await assert.rejects(unpack(filesystem.path, layerOf(source), { zeroCopy: true }), {
      code: 'ZERO_COPY',
      place: { entry: nameOf(65), offset: 0 },
    });
  });

  test('a full file system is an error with the place of the entry', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4', 8);
    using folder = new TemporaryFolder();
    const source = makeSource(folder.path);
    execFileSync(
      'sh',
      [
        '-c',
        `head -c 20000000 /dev/zero > ${filesystem.path}/full; truncate -s -1000000 ${filesystem.path}/full; true`,
      ],
      {
        stdio: 'ignore',
      },
    );
    await assert.rejects(
      unpack(filesystem.path, layerOf(source)),
      (error: { code: string; place: { entry?: string } }) => {
        assert.equal(error.code, 'ENOSPC');
        assert.equal(error.place.entry, nameOf(3_000_001));
        return true;
      },
    );
  });
});

describe('a source that is not what it was announced as', () => {
  const refused: [what: string, code: string, change: (path: string) => void][] = [
    ['longer', 'SIZE_MISMATCH', (path) => appendFileSync(path, 'more')],
    ['shorter', 'SIZE_MISMATCH', (path) => writeFileSync(path, 'less')],
    ['gone', 'ENOENT', (path) => rmSync(path)],
    ['a symlink', 'ELOOP', (path) => (rmSync(path), symlinkSync('file-4095', path))],
    ['a folder', 'NOT_A_FILE', (path) => (rmSync(path), mkdirSync(path))],
    ['a pipe', 'NOT_A_FILE', (path) => (rmSync(path), execFileSync('mkfifo', [path]))],
  ];
  for (const [what, code, change] of refused)
    test(what, async () => {
      using folder = new TemporaryFolder();
      const source = makeSource(folder.path);
      change(join(source, nameOf(4096)));
      await assert.rejects(unpack(folder.path, layerOf(source, [65, 4095, 4096])), {
        code,
        place: { entry: nameOf(4096), offset: 512 + 512 + 512 + 4096 },
      });
    });
});

test('who ends it gets the reason, and no descriptor stays open', async () => {
  using folder = new TemporaryFolder();
  const source = makeSource(folder.path);
  const stop = new AbortController();
  const stream = layerOf(source);
  const reason = new Error('enough');
  await assert.rejects(
    unpack(
      folder.path,
      {
        async *[Symbol.asyncIterator]() {
          for await (const chunks of stream) {
            stop.abort(reason);
            yield chunks;
          }
        },
        [Symbol.asyncDispose]: async () => await stream[Symbol.asyncDispose](),
      },
      { signal: stop.signal },
    ),
    reason,
  );
});
