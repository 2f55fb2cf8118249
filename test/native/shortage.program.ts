// shortage.program.js FOLDER CALL memory|threads [lasting]
//
// Has one function of the addon meet the end of memory, or of threads, at each place where it asks for more, and
// again with enough after each; see shortage.test.ts
//
// Prints a line of JSON for each: what came of it, how often it was refused something, what came of it afterwards, and
// which files of the source were left open.
import { constants, mkdirSync, readdirSync, readlinkSync, writeFileSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { compress } from 'zstd-napi';
import { bytesOf } from '../../src/bytes.js';
import { CancelFlag } from '../../src/cancel-flag.js';
import { Gunzip } from '../../src/compress/gunzip.js';
import { ZstdDictionary } from '../../src/compress/zstd-dictionary.js';
import { BeginningReader } from '../../src/fd/beginnings.js';
import { Fd, isErrno, openDirectoryPath, openPath } from '../../src/fd/fd.js';
import { sockets, READ } from '../../src/fd/native-socket.js';
import { PartWriter } from '../../src/fd/part-writer.js';
import { PipePump } from '../../src/fd/pipe-pump.js';
import { Readiness } from '../../src/fd/readiness.js';
import { verityDigestOfFd } from '../../src/fsverity/digest.js';
import type { TarEntry } from '../../src/layer/entry.js';
import type { TarDiffVersion } from '../../src/layer/tar-diff-format.js';
import { files, loadNative, type FdNumber } from '../../src/native.js';
import { PatchWriter } from '../../src/oci/delta/patch-writer.js';
import { Batch } from '../../src/layer/batch.js';
import { ObjectStore } from '../../src/repository/objects.js';
import type { TakePolicy } from '../../src/repository/take-policy.js';
import { addEntry } from '../../src/storage/extract/entry-record.js';
import { Extraction } from '../../src/storage/extract/extraction.js';
import { scanFolder } from '../../src/tree/scan-folder.js';
import { noise } from '../support/random.js';

const native = loadNative<{
  listObjects(objects: FdNumber, algorithm: number, flag: Uint8Array): Promise<{ ids: Buffer; places: Buffer }>;
  checkObjects(
    objects: FdNumber,
    algorithm: number,
    listed: object,
    verity: boolean,
    flag: Uint8Array,
    believed: number[],
  ): Promise<unknown[]>;
  removeFiles(dir: FdNumber, names: Buffer, remove: boolean): Promise<unknown>;
  sealFile(fd: FdNumber, algorithm: number): Promise<Buffer>;
  filesystemTypes(fds: FdNumber[]): Promise<number[]>;
  closeIfLocal(fds: FdNumber[], types: number[], closed: (index: number) => void): void;
}>();

const [folder = '', name = '', what = '', lasting = ''] = process.argv.slice(2);
const GZIPPED = gzipSync(Buffer.alloc(300_000, 'content '));
const FRAME = compress(Buffer.alloc(300_000, 'content '));
const SOURCE = join(folder, 'source');
const EXT4 = 0xef53;
const LISTING = constants.O_RDONLY | constants.O_DIRECTORY;

let last = 0;
/** Content that was not there before. */
function fresh(size: number): Buffer {
  return Buffer.alloc(size, `content ${process.pid} ${last++} `);
}

function directory(path: string): Fd {
  mkdirSync(path, { recursive: true });
  return openPath(bytesOf(path), LISTING);
}

function openStore(staging?: Fd): ObjectStore {
  return new ObjectStore(directory(join(folder, 'objects')), 'sha256', false, staging && { staging });
}

const store = openStore();
const objects = directory(join(folder, 'objects'));

const ENTRY: TarEntry = {
  path: '',
  type: 'file',
  mode: 0o755,
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  size: 0,
  mtimeSec: 0n,
  mtimeNsec: 0,
  linkPath: '',
  devMajor: 0,
  devMinor: 0,
  xattrs: new Map([['user.name', 'value']]),
  offset: 0,
};

/** A layer with every kind of operation, in two batches. */
async function takeLayer(policy: TakePolicy, trusted = true): Promise<void> {
  for (const [file, size] of [
    ['small', 20],
    ['some', 3000],
    ['more', 70_000],
    ['large', 1_500_000],
    ['open', 5000],
  ] as const)
    writeFileSync(join(SOURCE, file), fresh(size));
  using dir = openDirectoryPath(bytesOf(SOURCE));
  const ingest = store.ingest(policy, { trusted });
  const batch = new Batch();
  const opened = openPath(bytesOf(join(SOURCE, 'open')));
  try {
    batch.bytes(Buffer.alloc(512));
    for (const [file, size] of [
      ['small', 20],
      ['some', 3000],
      ['more', 70_000],
      ['large', 1_500_000],
    ] as const)
      batch.named(dir, file, size);
    batch.memory(fresh(1000));
    batch.open(opened, 5000);
    const first = ingest.submit(batch);
    first.catch(() => undefined);
    batch.dataBegin(2000);
    batch.data(fresh(2000));
    batch.dataEnd();
    const second = ingest.submit(batch);
    second.catch(() => undefined);
    await Promise.all([first, second]);
    ingest.digest();
  } catch (error) {
    ingest.abort();
    await ingest.withdrawWrong();
    throw error;
  } finally {
    batch.discard();
  }
}

/** Of every kind of operation. */
async function packPatch(version: TarDiffVersion): Promise<void> {
  using out = openPath(bytesOf(join(folder, 'patch')), constants.O_RDWR | constants.O_CREAT, 0o600);
  const packing = { version, level: 1, threads: 2 };
  await using patch = new PatchWriter(store, out, packing, new AbortController().signal);
  patch.data(Buffer.alloc(512));
  patch.copy('kept', 100);
  patch.content({ id: content, size: 50_000 });
  for (let count = 0; count < 2; count++)
    await patch.changed('kept', { id: older, size: 60_000 }, { id: content, size: 50_000 });
  await patch.finish();
}

// Objects that are checked in each of the ways.
for (const size of [100, 50_000, 300_000, 9_000_000]) await store.put(fresh(size));
const older = await store.put(noise(60_000, 'older'));
const content = await store.put(noise(60_000, 'older').subarray(5000, 55_000));
const { ids, places } = await native.listObjects(objects.number, 1, new Uint8Array(1));

const CALLS: Record<string, () => Promise<unknown>> = {
  put: async () => await store.put(fresh(100_000)),
  firstMissing: async () => await store.firstMissing(Buffer.concat([ids, ids])),
  unusable: async () => await store.unusable(ids),
  land: async () => {
    const path = join(folder, `staging-${last++}`);
    using staging = directory(path);
    using staged = openStore(staging);
    await staged.put(fresh(5000));
    await store.land(staging);
  },
  'submit, which links': async () => await takeLayer('link'),
  'submit, which copies': async () => await takeLayer('copy'),
  'submit, of a stranger': async () => await takeLayer('link', false),
  'submit, which only hashes': async () => await takeLayer('hash'),
  withdrawWrong: async () => await store.ingest('link').withdrawWrong(),
  listObjects: async () => await native.listObjects(objects.number, 1, new CancelFlag().byte),
  checkObjects: async () =>
    await native.checkObjects(objects.number, 1, { ids, places }, false, new CancelFlag().byte, [0]),
  verityDigestOfFd: async () => {
    using fd = openPath(bytesOf(join(SOURCE, 'kept')));
    await verityDigestOfFd(fd, 'sha512');
  },
  scanFolder: async () => {
    using fd = openDirectoryPath(bytesOf(SOURCE));
    await scanFolder(fd, { xattrs: 'all', devices: true, hardlinks: true, algorithm: 'sha256', threads: 4 });
  },
  'scanFolder, which stores': async () => {
    writeFileSync(join(SOURCE, 'new'), fresh(3_000_000));
    writeFileSync(join(SOURCE, 'small'), fresh(3000));
    using fd = openDirectoryPath(bytesOf(SOURCE));
    await scanFolder(fd, { xattrs: 'all', devices: true, hardlinks: false, algorithm: 'sha256', threads: 4, store });
  },
  sendParts: async () => {
    using out = openPath(bytesOf(join(folder, 'out')), constants.O_WRONLY | constants.O_CREAT, 0o600);
    using dir = openDirectoryPath(bytesOf(SOURCE));
    await using writer = new PartWriter(out.number, { position: 0 });
    writer.bytes(fresh(300));
    writer.named(dir, 'kept');
    writer.open(openPath(bytesOf(join(SOURCE, 'kept'))));
    await writer.end();
  },
  'pumpOpen and pumpRun': async () => {
    const [read, write] = files.pipe() as [FdNumber, FdNumber];
    using _ = new Fd(read);
    await using pump = new PipePump(new Fd(write), { hash: true });
    pump.bytes(fresh(300));
    pump.range(openPath(bytesOf(join(SOURCE, 'kept'))), 1, 1000);
    await pump.drained();
    if (pump.written !== 1300 || pump.digest().length !== 64) throw new Error('not all was written');
  },
  'a layer that is unpacked': async () => {
    const path = join(folder, `unpacked-${last++}`);
    using unpacked = directory(path);
    using dir = openDirectoryPath(bytesOf(SOURCE));
    await using extraction = new Extraction(unpacked, { zeroCopy: false, userNamespace: false });
    const batch = new Batch();
    try {
      for (const [name, size] of [
        ['kept', 0],
        ['a/folder/that/is/missing', 0],
        ['a/folder/that/is/missing/with a name that is longer than a short string', 2_000_000],
        ['open', 2_000_000],
        ['bytes', 300],
      ] as const) {
        addEntry(batch, { ...ENTRY, path: name, type: size === 0 ? 'directory' : 'file', size }, {});
        if (size === 300) batch.memory(fresh(300));
        else if (name === 'open') batch.open(openPath(bytesOf(join(SOURCE, 'kept'))), size);
        else if (size > 0) batch.named(dir, 'kept', size);
        batch.bytes(Buffer.alloc(512));
      }
      addEntry(batch, { ...ENTRY, path: 'a', type: 'symlink', linkPath: 'open', xattrs: new Map() }, {});
      await extraction.submit(batch);
      await extraction.finish();
    } finally {
      batch.discard();
    }
  },
  removeFiles: async () => {
    writeFileSync(join(SOURCE, 'gone'), '');
    mkdirSync(join(SOURCE, 'a folder whose name is longer than a short string'), { recursive: true });
    using dir = openDirectoryPath(bytesOf(SOURCE));
    const names = Buffer.from('gone\0a folder whose name is longer than a short string\0');
    await native.removeFiles(dir.number, names, true);
  },
  'a zstd frame with a dictionary': async () => {
    using fd = openPath(bytesOf(join(SOURCE, 'kept')));
    using dictionary = await ZstdDictionary.ofFile(fd, 2_000_000);
    using reader = dictionary.reader(29);
    for await (const _ of reader.read(FRAME));
  },
  'a patch with frames': async () => await packPatch(2),
  'a patch with added data': async () => await packPatch(1),
  openBeginnings: async () => {
    using dir = openDirectoryPath(bytesOf(SOURCE));
    const reader = new BeginningReader(dir, 1000);
    const opened = await Promise.allSettled(['kept', 'missing', 'kept'].map((name) => reader.open(name)));
    for (const one of opened) if (one.status === 'fulfilled') one.value.fd?.close();
    const errors = opened.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []));
    const other = errors.find((error) => !isErrno(error, 'ENOENT'));
    if (other !== undefined) throw other;
  },
  gunzip: async () => {
    const pieces = [Buffer.from(GZIPPED)][Symbol.iterator]();
    const reader = Gunzip.open()?.read({ next: async () => pieces.next() });
    for (let next = await reader?.next(); next?.done === false; next = await reader?.next());
  },
  syncfs: async () => await files.syncfs(objects.number),
  // There need be no fs-verity here.
  sealFile: async () => {
    using fd = openPath(bytesOf(join(SOURCE, 'kept')));
    await native.sealFile(fd.number, 1).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EOPNOTSUPP' && error.code !== 'ENOTTY' && error.code !== 'EINVAL') throw error;
    });
  },
  filesystemTypes: async () => {
    const [type] = await within(native.filesystemTypes([objects.number]));
    if (type === 0) throw new Error('no type');
  },
  closeIfLocal: async () => {
    const [type = EXT4] = await within(native.filesystemTypes([objects.number]));
    const fd = openPath(bytesOf(join(SOURCE, 'kept')));
    const number = fd.take();
    try {
      await within(new Promise<void>((resolve) => native.closeIfLocal([number], [type], () => resolve())));
    } catch (error) {
      // What could not be handed over is open still.
      new Fd(number).close();
      throw error;
    }
  },
  'pollStart and what is seen': async () => {
    const [one, other] = sockets.socketpair('stream') as [FdNumber, FdNumber];
    using ours = new Fd(one);
    using theirs = new Fd(other);
    const readiness = new Readiness(ours.number);
    sockets.socketSend(theirs.number, Buffer.from('x'), 0, []);
    try {
      await readiness.wait(READ, { timeout: 10_000 });
    } finally {
      readiness.close(new Error('closed'));
    }
  },
};

/** These promises do not keep the process. */
async function within<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, 1000);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}

/** What is open still after a while: files of a stranger are closed by a thread that nobody waits for. */
async function leftOpen(): Promise<string[]> {
  let open = openFiles();
  for (let round = 0; open.length > 0 && round < 100; round++) {
    await sleep(20);
    open = openFiles();
  }
  return open;
}

function openFiles(): string[] {
  return readdirSync('/proc/self/fd')
    .map((number) => {
      try {
        return readlinkSync(`/proc/self/fd/${number}`);
      } catch {
        return '';
      }
    })
    .filter((path) => path.startsWith(SOURCE));
}

async function outcome(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return 'done';
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code ?? error);
  }
}

mkdirSync(SOURCE, { recursive: true });
writeFileSync(join(SOURCE, 'kept'), fresh(2_000_000));
// Node's own threads are there already.
await stat(folder);
const call = CALLS[name];
if (call === undefined) {
  console.log(JSON.stringify(Object.keys(CALLS)));
} else {
  if (what === 'memory') await call();
  for (let count = 0; count < 1000; count++) {
    process.env['SHORTAGE'] = `${what} ${count} ${lasting}`;
    const came = await outcome(call);
    process.env['SHORTAGE'] = '';
    const refused = Number(process.env['SHORTAGE_MET']);
    const after = await outcome(call);
    writeSync(1, `${JSON.stringify({ count, came, refused, after, open: await leftOpen() })}\n`);
    if (refused === 0) break;
  }
}
