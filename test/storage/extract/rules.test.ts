// What the store's configuration and user decide, and what differs from the program that wrote the recorded store.
import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { bytesOf } from '../../../src/bytes.js';
import { openDirectoryPath, openPath } from '../../../src/fd/fd.js';
import { getXattr, listXattrs } from '../../../src/fd/xattrs.js';
import type { LayerStream } from '../../../src/layer/stream.js';
import type { ExtractedLayer, ExtractOptions } from '../../../src/storage/extract/extract-layer.js';
import { TemporaryFolder } from '../../support/filesystems.js';
import { extractTo } from '../../support/layers/extract-to.js';
import { END, header, padded, pax, type Fields } from '../../support/layers/make-tar.js';
import { tarStream } from '../../support/layers/streams.js';
import { listTree } from '../../support/list-tree.js';

const skip = process.getuid?.() === 0 ? false : 'owners and devices need root';
const data = (length: number): Buffer => Buffer.alloc(length, 'content ');
const directory = (name: string, fields: Fields = {}): Buffer => header({ name, type: '5', mode: 0o755, ...fields });

function file(name: string, content: Buffer = data(100), fields: Fields = {}): Buffer {
  return Buffer.concat([header({ name, size: content.length, ...fields }), padded(content)]);
}

interface Unpacked extends ExtractedLayer {
  diff: string;
  /** of tar-split */
  text: string;
}

async function unpack(
  tar: Buffer | LayerStream,
  options: ExtractOptions,
  look: (unpacked: Unpacked) => void | Promise<void>,
): Promise<void> {
  using folder = new TemporaryFolder();
  const diff = join(folder.path, 'diff');
  const tarSplit = join(folder.path, 'tar-split');
  mkdirSync(diff);
  chmodSync(diff, 0o555);
  const extracted = await extractTo(Buffer.isBuffer(tar) ? tarStream(tar) : tar, diff, tarSplit, options);
  await look({ ...extracted, diff, text: gunzipSync(readFileSync(tarSplit)).toString('latin1') });
}

const xattr = (path: string, name: string): string | undefined => {
  using fd = openPath(bytesOf(path));
  return getXattr(fd, name)?.toString('latin1');
};

test('what a layer says of its root is passed over, unless it is called /', { skip }, async () => {
  const facts = { mode: 0o1750, uid: 9, gid: 10, mtime: 1000 };
  const records = pax({ 'SCHILY.xattr.user.of': 'root' });
  await unpack(Buffer.concat([records, directory('./', facts), file('./f'), END]), {}, ({ diff, uids, gids }) => {
    const { mode, uid } = statSync(diff);
    assert.deepEqual([mode.toString(8), uid, xattr(diff, 'user.of')], ['40555', process.geteuid?.(), undefined]);
    assert.deepEqual(
      [uids, gids],
      [
        [0, 9],
        [0, 10],
      ],
    );
  });
  await unpack(Buffer.concat([records, directory('/', facts), file('./f'), END]), {}, ({ diff }) => {
    const { mode, uid, gid, mtimeMs } = statSync(diff);
    assert.deepEqual([mode.toString(8), uid, gid, mtimeMs], ['41750', 9, 10, 1_000_000]);
    assert.equal(xattr(diff, 'user.of'), 'root');
  });
});

test('with a forced mode the real ones are in xattrs', { skip }, async () => {
  const tar = Buffer.concat([
    directory('./', { mode: 0o1750, uid: 9, gid: 10 }),
    directory('d/', { mode: 0o2711, uid: 1, gid: 2 }),
    file('d/f', data(100), { mode: 0o4755, uid: 3, gid: 4 }),
    header({ name: 'd/disk', type: '4', mode: 0o660, gid: 6, major: 8, minor: 17 }),
    header({ name: 'd/null', type: '3', mode: 0o666, major: 1, minor: 3 }),
    header({ name: 'd/fifo', type: '6', mode: 0o622 }),
    header({ name: 'd/l', type: '2', link: 'f', mode: 0o777 }),
    header({ name: 'd/hard', type: '1', link: 'd/f', mode: 0o4755 }),
    file('d/.wh.gone', data(0), { uid: 7 }),
    END,
  ]);
  await unpack(tar, { forceMask: 0o700 }, ({ diff }) => {
    const names = ['', 'd', 'd/f', 'd/disk', 'd/null', 'd/fifo', 'd/hard'];
    assert.deepEqual(
      names.map((name) => [
        name,
        statSync(join(diff, name)).mode.toString(8),
        xattr(join(diff, name), 'user.containers.override_stat'),
      ]),
      [
        // Of the root without its sticky bit, as there.
        ['', '40555', '9:10:0750:dir'],
        ['d', '40700', '1:2:2711:dir'],
        ['d/f', '100700', '3:4:4755:file'],
        ['d/disk', '100700', '0:6:0660:block-8-17'],
        ['d/null', '100700', '0:0:0666:char-1-3'],
        ['d/fifo', '100700', '0:0:0622:pipe'],
        ['d/hard', '100700', '3:4:4755:file'],
      ],
    );
    for (const name of names) assert.equal(statSync(join(diff, name)).uid, process.geteuid?.(), name);
    assert.ok(lstatSync(join(diff, 'd/l')).isSymbolicLink());
    assert.ok(lstatSync(join(diff, 'd/gone')).isCharacterDevice());
    assert.equal(lstatSync(join(diff, 'd/gone')).uid, 7);
  });
});

test('with a forced mode a root that the layer says nothing of is an ordinary one', { skip }, async () => {
  await unpack(Buffer.concat([file('f'), END]), { forceMask: 0o755 }, ({ diff }) =>
    assert.equal(xattr(diff, 'user.containers.override_stat'), '0:0:0755:dir'),
  );
});

test('in a user namespace devices are left out, and opaque folders are marked for users', { skip }, async () => {
  const tar = Buffer.concat([
    header({ name: 'null', type: '3', mode: 0o666, major: 1, minor: 3 }),
    header({ name: 'dev/disk', type: '4', major: 8 }),
    directory('o/'),
    file('o/.wh..wh..opq', data(0)),
    file('o/.wh.gone', data(0)),
    END,
  ]);
  await unpack(tar, { inUserNamespace: true }, ({ diff, text }) => {
    assert.deepEqual([...listTree(diff).keys()].sort(), ['', '/dev', '/o', '/o/gone']);
    assert.equal(xattr(join(diff, 'o'), 'user.overlay.opaque'), 'y');
    assert.match(text, /"name":"null"/);
  });
  await unpack(tar, {}, ({ diff }) => {
    using fd = openDirectoryPath(bytesOf(join(diff, 'o')));
    assert.deepEqual([...listXattrs(fd)], [['trusted.overlay.opaque', 'y']]);
  });
});

test('for a program that mounts, whiteouts stay files', async () => {
  const { uid, gid } = statSync('/proc/self');
  const owned = { uid, gid };
  const tar = Buffer.concat([
    directory('d/', owned),
    file('d/.wh.gone', data(0), owned),
    file('d/.wh..wh..opq', data(20), owned),
    END,
  ]);
  await unpack(tar, { plainWhiteouts: true }, ({ diff, uids }) => {
    assert.ok(lstatSync(join(diff, 'd/.wh.gone')).isFile());
    assert.equal(readFileSync(join(diff, 'd/.wh..wh..opq'), 'latin1'), data(20).toString());
    assert.deepEqual(uids, [uid]);
  });
});

test('pieces of a tar may be cut anywhere', { skip }, async () => {
  const tar = Buffer.concat([
    directory('d/'),
    file('d/one', data(1)),
    file('d/small', data(64)),
    file('d/some', data(65)),
    file('d/more', data(3000)),
    file('d/none', data(0)),
    END,
  ]);
  const seen: unknown[] = [];
  for (const longest of [1, 7, 100, 1000, tar.length])
    await unpack(tarStream(tar, { longest }), {}, ({ diff, text, ...facts }) => {
      for (const [name, length] of [
        ['one', 1],
        ['small', 64],
        ['some', 65],
        ['more', 3000],
        ['none', 0],
      ] as const)
        assert.ok(readFileSync(join(diff, 'd', name)).equals(data(length)), name);
      assert.deepEqual([facts.inline, facts.inlineBytes, facts.cloned, facts.copied], [4, 3130, 0, 0]);
      seen.push([facts, text.split('\n').length]);
    });
  for (const one of seen) assert.deepEqual(one, seen[0]);
});
