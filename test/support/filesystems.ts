import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder that is removed, with all in it, when disposed. */
export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'cfsbridge-test-'));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export type FilesystemType = 'ext4' | 'btrfs' | 'xfs';

/** A filesystem of its own in a sparse file, mounted through a loop device until disposed. */
export class LoopFilesystem implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly path = join(this.#folder.path, 'mnt');

  /** @param megabytes size of the filesystem; xfs needs 300, btrfs 110 */
  constructor(type: FilesystemType, megabytes = 400) {
    const image = join(this.#folder.path, 'image');
    writeFileSync(image, '');
    truncateSync(image, megabytes * 2 ** 20);
    mkdirSync(this.path);
    try {
      execFileSync(`mkfs.${type}`, [type === 'ext4' ? '-Fq' : type === 'xfs' ? '-fq' : '-fq', image], {
        stdio: 'pipe',
      });
      execFileSync('mount', ['-o', 'loop', image, this.path], { stdio: 'pipe' });
    } catch (error) {
      this.#folder[Symbol.dispose]();
      throw error;
    }
  }

  /** Mounts it anew, as after a restart of the machine; nothing may have it open. */
  remount(): void {
    unmount(this.path);
    execFileSync('mount', ['-o', 'loop', join(this.#folder.path, 'image'), this.path], { stdio: 'pipe' });
  }

  /**
   * Makes blocks of the device unreadable: from where the last of some files begins. What the kernel had read of it is
   * forgotten.
   * @returns those of the files that lie there, and what gives the blocks back
   */
  loseEnd(files: readonly string[]): { lost: string[]; giveBack: () => void } {
    execFileSync('sync', ['-f', this.path]);
    const starts = files.map(
      (file) =>
        [
          file,
          Number(
            /^ +0: +\d+\.\. +\d+: +(\d+)\./m.exec(execFileSync('filefrag', ['-v', file], { encoding: 'utf8' }))?.[1],
          ),
        ] as const,
    );
    const first = Math.max(...starts.map(([, start]) => start));
    const image = join(this.#folder.path, 'image');
    const whole = readFileSync(image);
    truncateSync(image, first * statfsSync(this.path).bsize);
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return {
      lost: starts.filter(([, start]) => start >= first).map(([file]) => file),
      giveBack: () => writeFileSync(image, whole),
    };
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path], { stdio: 'pipe' });
    this.#folder[Symbol.dispose]();
  }
}

/**
 * An ext4 on a device that can be made to refuse every write, as a disk does that dies. The device is a file in another
 * ext4.
 */
export class FailingFilesystem implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly #device: LoopFilesystem;
  readonly path = join(this.#folder.path, 'mnt');

  /** @param megabytes its size */
  constructor(megabytes: number) {
    mkdirSync(this.path);
    this.#device = new LoopFilesystem('ext4', megabytes + 24);
    try {
      const image = join(this.#device.path, 'image');
      writeFileSync(image, '');
      truncateSync(image, megabytes * 2 ** 20);
      execFileSync('mkfs.ext4', ['-Fq', image], { stdio: 'pipe' });
      this.#mount();
    } catch (error) {
      this.#device[Symbol.dispose]();
      throw error;
    }
  }

  /** From here on no write to the device succeeds; what it had not been told to flush may be lost, too. */
  fail(): void {
    execFileSync('mount', ['-o', 'remount,abort', this.#device.path], { stdio: 'pipe' });
  }

  /** As after a repair and a restart: the journals are replayed. Nothing may have the filesystem open. */
  recover(): void {
    unmount(this.path);
    this.#device.remount();
    this.#mount();
  }

  #mount(): void {
    execFileSync('mount', ['-o', 'loop,errors=remount-ro', join(this.#device.path, 'image'), this.path], {
      stdio: 'pipe',
    });
  }

  [Symbol.dispose](): void {
    unmount(this.path);
    this.#device[Symbol.dispose]();
    this.#folder[Symbol.dispose]();
  }
}

const BUSY_LIMIT_MS = 20_000;

/**
 * A loop device inside is given back only when nobody looks at it any more, and whoever searches for a free one looks
 * at them all.
 */
function unmount(path: string): void {
  for (const start = Date.now(); ; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)) {
    const { status, stderr } = spawnSync('umount', [path], { encoding: 'utf8' });
    if (status === 0) return;
    if (!/busy/.test(stderr) || Date.now() - start > BUSY_LIMIT_MS) throw new Error(`umount ${path}: ${stderr}`);
  }
}

/** Why loop-mounted filesystems of this type cannot be had here, or false. */
export function whyNoLoop(type: FilesystemType): string | false {
  if (process.getuid?.() !== 0) return 'loop mounts need root';
  try {
    execFileSync('sh', ['-c', `command -v mkfs.${type}`], { stdio: 'pipe' });
  } catch {
    return `mkfs.${type} is not installed`;
  }
  try {
    using probe = new LoopFilesystem(type);
    return probe.path === '' ? 'no mount' : false;
  } catch (error) {
    return `a ${type} filesystem cannot be loop-mounted here: ${(error as Error).message.split('\n')[0]}`;
  }
}

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
