import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { constants } from 'node:fs';
import { bytesOf } from '../../src/bytes.js';
import { Fd, openPath } from '../../src/fd/fd.js';
import { Batch } from '../../src/layer/batch.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { ObjectStore, type FileResult } from '../../src/repository/objects.js';
import { storePieces } from '../../src/repository/store-content.js';
import type { TakePolicy } from '../../src/repository/take-policy.js';
import {
  LoopFilesystem,
  openDescriptors,
  TemporaryFolder,
  whyNoLoop,
  type FilesystemType,
} from '../support/filesystems.js';
import { referenceVerity } from '../support/reference-verity.js';

const POLICY: TakePolicy = 'link';

function openStore(folder: string, algorithm: 'sha256' | 'sha512' = 'sha512'): ObjectStore {
  mkdirSync(join(folder, 'objects'), { recursive: true });
  return new ObjectStore(
    openPath(bytesOf(join(folder, 'objects')), constants.O_RDONLY | constants.O_DIRECTORY),
    algorithm,
    false,
  );
}

interface Source {
  name: string;
  content: Buffer;
}

const SIZES = [1, 64, 65, 4096, 4097, 100_000, 1 << 20, (1 << 20) + 1, 3_000_001];

function writeSources(folder: string): Source[] {
  mkdirSync(join(folder, 'sources'), { recursive: true });
  return SIZES.map((size) => {
    const source = { name: `f${size}`, content: randomBytes(size) };
    writeFileSync(join(folder, 'sources', source.name), source.content);
    return source;
  });
}

/** Takes all sources as one layer, with bytes between them, and checks the digest over everything. */
async function take(
  store: ObjectStore,
  folder: string,
  sources: readonly Source[],
  policy: TakePolicy,
  trusted = true,
): Promise<FileResult[]> {
  using dir = openPath(bytesOf(join(folder, 'sources')), constants.O_RDONLY | constants.O_DIRECTORY);
  const ingest = store.ingest(policy, { trusted });
  const hash = createHash('sha256');
  const results: Promise<FileResult[]>[] = [];
  for (const half of [sources.slice(0, 5), sources.slice(5)]) {
    const batch = new Batch();
    for (const { name, content } of half) {
      const between = Buffer.from(`before ${name}`);
      batch.bytes(between);
      batch.named(dir, name, content.length);
      hash.update(between).update(content);
    }
    results.push(ingest.submit(batch));
  }
  const all = (await Promise.all(results)).flat();
  assert.equal(ingest.digest(), hash.digest('hex'));
  return all;
}

function checkObjects(
  folder: string,
  sources: readonly Source[],
  results: readonly FileResult[],
  algorithm: 'sha256' | 'sha512' = 'sha512',
): void {
  for (const [index, { content }] of sources.entries()) {
    const result = results[index] as FileResult;
    if (content.length <= 64) {
      assert.ok(result.outcome === 'small' && result.content.equals(content));
      continue;
    }
    assert.ok(result.outcome !== 'small');
    assert.equal(result.id, referenceVerity(content, algorithm));
    assert.ok(readFileSync(join(folder, 'objects', objectPath(result.id))).equals(content));
  }
}

const outcomes = (results: readonly FileResult[]): Set<string> =>
  new Set(results.map((result) => result.outcome).filter((outcome) => outcome !== 'small'));

describe('object store', () => {
  const before = openDescriptors();
  after(() => assert.equal(openDescriptors(), before));

  for (const algorithm of ['sha256', 'sha512'] as const) {
    it(`stores bytes under their ${algorithm} fs-verity digest`, async () => {
      using folder = new TemporaryFolder();
      using store = openStore(folder.path, algorithm);
      for (const size of [0, 1, 4096, 300_000]) {
        const content = randomBytes(size);
        const id = await store.put(content);
        assert.equal(id, referenceVerity(content, algorithm));
        assert.ok(readFileSync(join(folder.path, 'objects', objectPath(id))).equals(content));
        assert.equal(await store.put(content), id);
      }
    });
  }

  for (const type of ['ext4', 'btrfs', 'xfs'] as FilesystemType[]) {
    const skip = whyNoLoop(type);
    it(`takes files over on ${type}`, { skip }, async () => {
      using filesystem = new LoopFilesystem(type);
      const sources = writeSources(filesystem.path);
      using store = openStore(filesystem.path);
      const shared = type === 'ext4' ? 'hardlinked' : 'reflinked';
      const first = await take(store, filesystem.path, sources, POLICY);
      checkObjects(filesystem.path, sources, first);
      assert.deepEqual(outcomes(first), new Set([shared]));
      const second = await take(store, filesystem.path, sources, POLICY);
      assert.deepEqual(outcomes(second), new Set(type === 'ext4' ? ['present'] : ['present']));
      const source = statSync(join(filesystem.path, 'sources', 'f4097'));
      const fourth = first[4] as FileResult & { id: string };
      const object = statSync(join(filesystem.path, 'objects', objectPath(fourth.id)));
      assert.equal(object.ino === source.ino, shared === 'hardlinked');
    });

    it(`never shares an inode on ${type} when hardlinks are ruled out`, { skip }, async () => {
      using filesystem = new LoopFilesystem(type);
      const sources = writeSources(filesystem.path);
      using store = openStore(filesystem.path);
      for (const trusted of [true, false]) {
        const results = await take(store, filesystem.path, sources, 'reflink', trusted);
        checkObjects(filesystem.path, sources, results);
        for (const { name } of sources) assert.equal(statSync(join(filesystem.path, 'sources', name)).nlink, 1);
      }
    });

    it(`copies from another filesystem to ${type}`, { skip }, async () => {
      using filesystem = new LoopFilesystem(type);
      using folder = new TemporaryFolder();
      const sources = writeSources(folder.path);
      using store = openStore(filesystem.path);
      const results = await take(store, folder.path, sources, POLICY);
      checkObjects(filesystem.path, sources, results);
      assert.deepEqual(outcomes(results), new Set(['copied']));
    });
  }

  it('links through a second mount of the same filesystem', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4');
    const sources = writeSources(filesystem.path);
    const folder = join(filesystem.path, 'sources');
    execFileSync('mount', ['--bind', folder, folder]);
    try {
      assert.throws(() => linkSync(join(folder, 'f65'), join(filesystem.path, 'plain')), { code: 'EXDEV' });
      using store = openStore(filesystem.path);
      const results = await take(store, filesystem.path, sources, POLICY);
      checkObjects(filesystem.path, sources, results);
      assert.deepEqual(outcomes(results), new Set(['hardlinked']));
    } finally {
      execFileSync('umount', [folder]);
    }
  });

  it('refuses to copy when only sharing is allowed', { skip: whyNoLoop('ext4') }, async () => {
    using filesystem = new LoopFilesystem('ext4');
    using folder = new TemporaryFolder();
    const sources = writeSources(folder.path).slice(2);
    using store = openStore(filesystem.path);
    await assert.rejects(take(store, folder.path, sources, 'link-only'), { code: 'ZERO_COPY', file: 0 });
  });

  it('replaces a damaged object of the same size', async () => {
    using folder = new TemporaryFolder();
    const sources = writeSources(folder.path);
    const ids: string[] = [];
    {
      using store = openStore(folder.path);
      for (const result of await take(store, folder.path, sources, 'copy')) {
        if (result.outcome !== 'small') ids.push(result.id);
      }
    }
    for (const id of ids) {
      const path = join(folder.path, 'objects', objectPath(id));
      const { size } = statSync(path);
      chmodSync(path, 0o644);
      writeFileSync(path, Buffer.alloc(size, 7));
    }
    for (const policy of [POLICY, 'reflink'] as const) {
      using store = openStore(folder.path);
      checkObjects(folder.path, sources, await take(store, folder.path, sources, policy));
    }
    assert.deepEqual(
      readdirSync(join(folder.path, 'objects')).filter((name) => name.startsWith('.')),
      [],
    );
  });

  it('replaces a truncated object', async () => {
    using folder = new TemporaryFolder();
    const content = randomBytes(5000);
    let id: string;
    {
      using store = openStore(folder.path);
      id = await store.put(content);
    }
    truncateSync(join(folder.path, 'objects', objectPath(id)), 17);
    using store = openStore(folder.path);
    await store.put(content);
    assert.ok(readFileSync(join(folder.path, 'objects', objectPath(id))).equals(content));
  });

  it('takes content that comes as bytes', async () => {
    using folder = new TemporaryFolder();
    using store = openStore(folder.path);
    const small = randomBytes(70_000);
    const large = randomBytes(2_500_000);
    const ingest = store.ingest(POLICY);
    const first = new Batch();
    first.memory(small);
    first.dataBegin(large.length);
    first.data(large.subarray(0, 1_000_000));
    const second = new Batch();
    second.data(large.subarray(1_000_000));
    second.dataEnd();
    const results = (await Promise.all([ingest.submit(first), ingest.submit(second)])).flat();
    assert.equal(ingest.digest(), createHash('sha256').update(small).update(large).digest('hex'));
    checkObjects(
      folder.path,
      [
        { name: '', content: small },
        { name: '', content: large },
      ],
      results,
    );
  });

  it('takes content in pieces, whose memory is used again, and replaces a damaged object by it', async () => {
    using folder = new TemporaryFolder();
    const content = randomBytes(700_001);
    function* pieces(): Generator<Buffer> {
      const memory = Buffer.alloc(100_000);
      for (let at = 0; at < content.length; at += memory.length) {
        yield memory.subarray(0, content.copy(memory, 0, at));
        memory.fill(0);
      }
    }
    const expected = referenceVerity(content, 'sha512');
    const object = join(folder.path, 'objects', objectPath(expected));
    for (const before of ['nothing', 'a damaged object', 'the object']) {
      if (before === 'a damaged object') {
        chmodSync(object, 0o644);
        writeFileSync(object, Buffer.alloc(content.length));
      }
      // A store of its own: what one has checked it does not check again.
      using another = openStore(folder.path);
      assert.equal((await storePieces(another, content.length, pieces())).id, expected, before);
      assert.deepEqual(readFileSync(object), content, before);
    }
  });

  it('stores nothing of pieces that end early, are too many or cannot be made', async () => {
    using folder = new TemporaryFolder();
    using store = openStore(folder.path);
    const count = openDescriptors();
    const piece = randomBytes(200_000);
    await assert.rejects(storePieces(store, 400_001, [piece, piece]), { code: 'SIZE_MISMATCH' });
    await assert.rejects(storePieces(store, 399_999, [piece, piece]), { code: 'SIZE_MISMATCH' });
    await assert.rejects(storePieces(store, 300_000, [piece, piece, piece, piece]), { code: 'SIZE_MISMATCH' });
    function* broken(): Generator<Buffer> {
      yield piece;
      throw new RangeError('no more');
    }
    await assert.rejects(storePieces(store, 400_000, broken()), { message: 'no more' });
    assert.deepEqual(readdirSync(join(folder.path, 'objects')), []);
    assert.equal(openDescriptors(), count);
  });

  it('rejects content of another length than announced', async () => {
    using folder = new TemporaryFolder();
    using store = openStore(folder.path);
    for (const pieces of [[99], [101], [60, 60]]) {
      const ingest = store.ingest(POLICY);
      const batch = new Batch();
      batch.dataBegin(100);
      for (const piece of pieces) batch.data(Buffer.alloc(piece));
      batch.dataEnd();
      await assert.rejects(ingest.submit(batch), { code: 'SIZE_MISMATCH' });
    }
    assert.deepEqual(readdirSync(join(folder.path, 'objects')), []);
  });

  const hostile: [string, (folder: string) => Fd | string, string][] = [
    ['a name that leaves the folder', () => '../outside', 'EXDEV'],
    ['an absolute name', () => '/etc/passwd', 'EXDEV'],
    ['a symlink', (folder) => (symlinkSync('f65', join(folder, 'sources', 'link')), 'link'), 'ELOOP'],
    ['a missing file', () => 'nothing', 'ENOENT'],
    ['a file of another size', () => 'f64', 'SIZE_MISMATCH'],
    ['a folder', (folder) => (mkdirSync(join(folder, 'sources', 'd')), 'd'), 'NOT_A_FILE'],
    ['a named pipe', (folder) => (execFileSync('mkfifo', [join(folder, 'sources', 'p')]), 'p'), 'NOT_A_FILE'],
    ['a descriptor of a folder', (folder) => new Fd(openSync(folder, 'r')), 'NOT_A_FILE'],
    ['a descriptor of a device', () => new Fd(openSync('/dev/zero', 'r')), 'NOT_A_FILE'],
    [
      'a write-only descriptor',
      (folder) => new Fd(openSync(join(folder, 'sources', 'f65'), constants.O_WRONLY)),
      'NOT_READABLE',
    ],
    ['an O_PATH descriptor', (folder) => openPath(bytesOf(join(folder, 'sources', 'f65')), 0o10000000), 'NOT_READABLE'],
  ];
  for (const [what, make, code] of hostile) {
    it(`refuses ${what}`, async () => {
      using folder = new TemporaryFolder();
      writeFileSync(join(folder.path, 'outside'), Buffer.alloc(65));
      writeSources(folder.path);
      using store = openStore(folder.path);
      using dir = openPath(bytesOf(join(folder.path, 'sources')), constants.O_RDONLY | constants.O_DIRECTORY);
      const count = openDescriptors();
      const batch = new Batch();
      batch.named(dir, 'f100000', 100_000);
      const source = make(folder.path);
      if (typeof source === 'string') batch.named(dir, source, 65);
      else batch.open(source, 65);
      await assert.rejects(store.ingest(POLICY).submit(batch), { code, file: 1 });
      assert.ok(openDescriptors() <= count);
    });
  }

  it('closes the folders it has used with itself', async () => {
    using folder = new TemporaryFolder();
    const before = openDescriptors();
    const store = openStore(folder.path);
    for (let i = 0; i < 20; i++) await store.put(Buffer.from(`object ${i}`));
    assert.ok(openDescriptors() > before + 10, 'no folders are kept');
    store[Symbol.dispose]();
    assert.equal(openDescriptors(), before);
  });

  it('closes descriptors of batches that are aborted or discarded', async () => {
    using folder = new TemporaryFolder();
    writeSources(folder.path);
    using store = openStore(folder.path);
    const open = (): Fd => new Fd(openSync(join(folder.path, 'sources', 'f3000001'), 'r'));
    // The store keeps the folder that the object is in.
    const first = new Batch();
    first.open(open(), 3_000_001);
    await store.ingest(POLICY).submit(first);
    const count = openDescriptors();
    const ingest = store.ingest(POLICY);
    const pending = [];
    for (let i = 0; i < 20; i++) {
      const batch = new Batch();
      batch.open(open(), 3_000_001);
      pending.push(ingest.submit(batch));
    }
    ingest.abort();
    const settled = await Promise.allSettled(pending);
    assert.equal(settled.at(-1)?.status, 'rejected');
    const unsent = new Batch();
    unsent.open(open(), 3_000_001);
    unsent.discard();
    assert.equal(openDescriptors(), count);
  });

  it('opens what it has and says what is missing', async () => {
    using folder = new TemporaryFolder();
    using store = openStore(folder.path);
    const id = await store.put(Buffer.from('x'.repeat(100)));
    assert.equal(store.has(id), true);
    store.open(id).close();
    unlinkSync(join(folder.path, 'objects', objectPath(id)));
    assert.equal(store.has(id), false);
    assert.throws(() => store.open(id), { code: 'NOT_FOUND' });
    assert.equal(existsSync(join(folder.path, 'objects', id.slice(0, 2))), true);
  });
});
