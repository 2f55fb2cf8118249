// Layers that want out of the folder they are unpacked in: what lies beside it stays as it is.
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BridgeError } from '../../src/errors.js';
import { closeChunk, type Chunk, type LayerStream } from '../../src/layer/stream.js';
import { openPath } from '../../src/fd/fd.js';
import { bytesOf } from '../../src/bytes.js';
import { TemporaryFolder } from '../support/filesystems.js';
import { extractTo } from '../support/layers/extract-to.js';
import { END, extension, header, padded, pax, type Fields } from '../support/layers/make-tar.js';
import { tarStream } from '../support/layers/streams.js';
import { listTree } from '../support/list-tree.js';
import { withoutLeak } from '../support/open-fds.js';

const skip = process.getuid?.() === 0 ? false : 'owners and devices need root';
const data = (length: number): Buffer => Buffer.alloc(length, 'content ');
const directory = (name: string): Buffer => header({ name, type: '5', mode: 0o755 });
const symlink = (name: string, target: string): Buffer => header({ name, link: target, type: '2' });
const hardlink = (name: string, target: string): Buffer => header({ name, link: target, type: '1' });

function file(name: string, content: Buffer = data(100), fields: Fields = {}): Buffer {
  return Buffer.concat([header({ name, size: content.length, ...fields }), padded(content)]);
}

/** A folder to unpack in, and one beside it that no layer may touch. */
class Target implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly diff = join(this.#folder.path, 'diff');
  readonly outside = join(this.#folder.path, 'outside');
  readonly tarSplit = join(this.#folder.path, 'tar-split');
  readonly #before: unknown;

  constructor() {
    mkdirSync(this.diff);
    mkdirSync(join(this.outside, 'folder'), { recursive: true });
    writeFileSync(join(this.outside, 'secret'), 'secret');
    writeFileSync(join(this.outside, 'folder/file'), 'kept');
    symlinkSync('secret', join(this.outside, 'link'));
    this.#before = listTree(this.outside);
  }

  check(): void {
    assert.deepEqual(listTree(this.outside), this.#before);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

const OUT = '../outside';
/** Entries by what they try; `OUTSIDE` stands for the absolute path. */
const ATTACKS: Record<string, (outside: string) => Buffer[]> = {
  'names with ..': () => [file('../outside/secret'), file('d/../../outside/new'), file('/../outside/secret2')],
  'absolute names': (outside) => [file(`${outside}/secret`), directory(`${outside}/folder/`)],
  'a symlink and a name below it': () => [
    symlink('l', OUT),
    file('l/secret'),
    file('l/new/file'),
    directory('l/folder/'),
  ],
  'an absolute symlink': (outside) => [symlink('l', outside), file('l/secret'), file('l/folder/file')],
  'symlinks that climb': () => [
    directory('d/'),
    symlink('d/up', '../..'),
    symlink('d/out', 'up/outside'),
    file('d/out/secret'),
    file('d/up/outside/folder/file'),
  ],
  'a folder that becomes a symlink': () => [file('d/x'), symlink('d', OUT), file('d/secret')],
  'a file over a symlink': () => [symlink('l', `${OUT}/secret`), header({ name: './l/', type: '0' })],
  'hardlinks to what is outside': () => [hardlink('h', '../outside/secret')],
  'hardlinks through symlinks': () => [symlink('l', OUT), hardlink('h', 'l/secret')],
  'a hardlink of a symlink, with mode, owner and times': () => [
    symlink('l', `${OUT}/secret`),
    header({ name: 'h', link: 'l', type: '1', mode: 0o777, uid: 7, mtime: 5 }),
  ],
  'a whiteout through a symlink': () => [symlink('l', OUT), file('l/.wh.secret', data(0)), file('l/.wh.none', data(0))],
  'an opaque mark through a symlink': () => [symlink('l', OUT), file('l/.wh..wh..opq', data(0))],
  'a symlink called like a mark': () => [symlink('.wh.x', OUT), file('.wh.x/y')],
  'xattrs of a symlink': () => [pax({ 'SCHILY.xattr.trusted.x': 'y' }), symlink('l', `${OUT}/secret`)],
  'devices through a symlink': () => [symlink('l', OUT), header({ name: 'l/null', type: '3', major: 1, minor: 3 })],
  'a replaced folder with symlinks in it': () => [
    symlink('d/e/l', '../../../outside'),
    symlink('d/l', '../../outside/folder'),
    symlink('d', 'x'),
  ],
  'times of a folder that is a symlink in the end': () => [
    directory('d/e/'),
    symlink('d', '../outside'),
    directory('folder/'),
  ],
  'more links than are followed': () => [
    ...Array.from({ length: 60 }, (_, i) => symlink(`l${i}`, `l${i + 1}`)),
    file('l0/f'),
  ],
  'links that grow': () => [symlink('a', 'b/b'), symlink('b', 'a/a'), file('a/f')],
  'a link to itself': () => [symlink('l', './l'), file('l/f'), hardlink('h', 'l/x')],
  'a name with a NUL': () => [pax({ path: '../outside/secret\0.txt' }), file('x')],
  'a long name with a NUL': () => [extension('L', '../outside/secret\0more'), file('x')],
  'a name twice': () => [file('a'), file('./a')],
};

for (const [what, entries] of Object.entries(ATTACKS))
  test(what, { skip }, async () => {
    using target = new Target();
    const tar = Buffer.concat([...entries(target.outside), END]);
    await withoutLeak(
      async () =>
        await extractTo(tarStream(tar), target.diff, target.tarSplit).catch((error: unknown) => {
          assert.ok(error instanceof BridgeError, String(error));
          assert.ok(error.place.entry !== undefined || error.place.offset !== undefined, error.message);
        }),
    );
    target.check();
  });

test('a deep folder goes away without a deep stack, and few descriptors', { skip }, async () => {
  using target = new Target();
  const deep = 'd/'.repeat(2000);
  const tar = Buffer.concat([
    pax({ path: `${deep}f` }),
    file('f'),
    // Through a link it goes on.
    pax({ linkpath: deep }),
    symlink('l', 'x'),
    pax({ path: `l/${deep}f` }),
    file('f'),
    symlink('d', 'gone'),
    END,
  ]);
  await extractTo(tarStream(tar), target.diff, target.tarSplit).catch((error: unknown) => {
    assert.ok(error instanceof BridgeError, String(error));
  });
  target.check();
});

test('a cut tar, and content where there is no place for one', { skip }, async () => {
  using target = new Target();
  const tar = file('f', data(2000));
  await assert.rejects(extractTo(tarStream(tar.subarray(0, 1500)), target.diff, target.tarSplit), {
    code: 'TAR_TRUNCATED',
  });
  const content = (size: number): Chunk => ({
    kind: 'fd',
    fd: openPath(bytesOf(join(target.outside, 'secret'))),
    size,
  });
  const stream = (...chunks: Chunk[]): LayerStream => ({
    async *[Symbol.asyncIterator]() {
      yield chunks;
    },
    async [Symbol.asyncDispose]() {
      chunks.forEach(closeChunk);
    },
  });
  for (const size of [6, 7, 2000])
    await withoutLeak(
      async () =>
        await assert.rejects(
          extractTo(
            stream({ kind: 'bytes', bytes: header({ name: `g${size}`, size: 2000 }) }, content(size), {
              kind: 'bytes',
              bytes: Buffer.concat([Buffer.alloc(48), END]),
            }),
            target.diff,
            target.tarSplit,
          ),
          (error: BridgeError) => {
            assert.equal(error.code, size === 2000 ? 'SIZE_MISMATCH' : 'TAR_REFERENCE');
            assert.equal(error.place.entry, `g${size}`);
            return true;
          },
        ),
    );
  target.check();
});
