import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canMount } from './own-mounts.js';

const GIB = 2 ** 30;
const EXT4_MAGIC = 0xef53;
/** For some repositories at a time, bytes. */
const ROOM = 6 * GIB;
const MKFS_OPTIONS = { btrfs: ['-f'], ext4: ['-qF'], xfs: ['-fq'] } as const;

/** Where a case runs: a store, and a folder for repositories. */
export interface Place extends Disposable {
  graphroot: string;
  folder: string;
}

/** Why a case cannot run here. */
export class Unavailable extends Error {}

/**
 * Makes the folder for everything that is written, on the store's filesystem: in $TMPDIR or /var/tmp if that is the
 * same, else beside the store.
 */
export function workFolder(store: string): string {
  const temporary = process.env['TMPDIR'] ?? '/var/tmp';
  const sameFilesystem = statSync(temporary).dev === statSync(store).dev;
  return mkdtempSync(join(sameFilesystem ? temporary : dirname(store), 'cfsbridge-bench-'));
}

/** The store as it is, repositories beside it. @throws Unavailable when it is not on ext4 or there is no space */
export function plainExt4(store: string, work: string): Place {
  if (statfsSync(store).type !== EXT4_MAGIC) throw new Unavailable('the store is not on ext4');
  needSpace(work, sizeOf(store) + GIB);
  const folder = mkdtempSync(join(work, 'ext4-'));
  return { graphroot: store, folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The same, with the folder of the layers mounted on itself, as it is while podman runs. @throws as plainExt4 */
export function boundExt4(store: string, work: string): Place {
  if (!canMount()) throw new Unavailable('mounts need root');
  const place = plainExt4(store, work);
  const overlay = join(store, 'overlay');
  execFileSync('mount', ['--bind', overlay, overlay]);
  return {
    ...place,
    [Symbol.dispose]: () => {
      execFileSync('umount', ['-l', overlay]);
      place[Symbol.dispose]();
    },
  };
}

/** A filesystem in a sparse file, with a copy of the store. @throws Unavailable without root, tools or space */
export function loopWithStore(type: 'btrfs' | 'xfs', store: string, work: string): Place {
  const size = sizeOf(store);
  const loop = loopFilesystem(type, 2 * size + 2 * GIB, work);
  try {
    execFileSync('cp', ['-a', store, join(loop.folder, 'store')]);
    return { ...loop, graphroot: join(loop.folder, 'store') };
  } catch (error) {
    loop[Symbol.dispose]();
    throw error;
  }
}

/** Repositories on another filesystem than the store. @throws as loopWithStore */
export function loopBesideStore(type: 'btrfs' | 'xfs', store: string, work: string): Place {
  return { ...loopFilesystem(type, sizeOf(store) + 2 * GIB, work), graphroot: store };
}

/**
 * An empty ext4 with a journal, as those are that programs get installed on; the one a machine runs from may have none.
 * @throws as loopWithStore
 */
export function journaledExt4(store: string, work: string): Place {
  return { ...loopFilesystem('ext4', ROOM, work), graphroot: store };
}

function loopFilesystem(type: 'btrfs' | 'ext4' | 'xfs', bytes: number, work: string): Omit<Place, 'graphroot'> {
  if (!canMount()) throw new Unavailable('loop mounts need root');
  needSpace(work, bytes);
  const image = join(work, `${type}.image`);
  const folder = mkdtempSync(join(work, `${type}-`));
  try {
    writeFileSync(image, '');
    truncateSync(image, bytes);
    execFileSync(`mkfs.${type}`, [...MKFS_OPTIONS[type], image], { stdio: 'pipe' });
    execFileSync('mount', ['-o', 'loop', image, folder], { stdio: 'pipe' });
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw new Unavailable(
      `no ${type} can be loop-mounted here: ${(error as Error).message.trim().replaceAll('\n', ' ')}`,
    );
  } finally {
    // The loop device keeps the file; without a name it goes with the mount.
    rmSync(image, { force: true });
  }
  return {
    folder,
    [Symbol.dispose]: () => {
      execFileSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** Writes out what is dirty, so that one run does not pay for the one before. */
export function settle(...paths: readonly string[]): void {
  for (const path of paths) execFileSync('sync', ['-f', path]);
}

function sizeOf(folder: string): number {
  return Number(execFileSync('du', ['-sB1', folder], { encoding: 'latin1' }).split('\t')[0]);
}

function needSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  const [needed, free] = [bytes, bavail * bsize].map((amount) => (amount / GIB).toFixed(1));
  throw new Unavailable(`${needed} GiB are needed and ${free} GiB free in ${folder}`);
}
