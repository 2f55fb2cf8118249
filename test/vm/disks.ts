// The machine's disks; see scripts/vm.sh, which makes them.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fsckRepository } from '../../src/repository/fsck/fsck.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { cfsctl, succeed } from '../interop/peers.js';
import { filesBelow } from '../support/walk.js';

/** ext4 with fs-verity, ext4 without, and ext4 with fs-verity for files whose blocks are smaller than fs-verity's. */
export const DEVICES = { verity: '/dev/vda', plain: '/dev/vdb', smallBlocks: '/dev/vdc' } as const;

/** One of the disks, mounted until disposed; what was written to it stays. */
export class Disk implements Disposable {
  readonly path: string;

  constructor(readonly device: string) {
    this.path = join('/mnt', device.slice('/dev/'.length));
    mkdirSync(this.path, { recursive: true });
    this.#mount();
  }

  /** Changes one byte of a file on the device, behind the back of the filesystem and its checks. */
  flipByte(file: string, offset = 0): void {
    const { ino, blksize } = statSync(file);
    const blocks = execFileSync('debugfs', ['-R', `blocks <${ino}>`, this.device], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .trim()
      .split(' ')
      .map(Number);
    execFileSync('umount', [this.path]);
    const device = openSync(this.device, 'r+');
    const position = (blocks[Math.floor(offset / blksize)] as number) * blksize + (offset % blksize);
    const byte = Buffer.alloc(1);
    assert.equal(readSync(device, byte, 0, 1, position), 1);
    byte[0] = (byte[0] as number) ^ 1;
    writeSync(device, byte, 0, 1, position);
    closeSync(device);
    this.#mount();
  }

  /** As after a restart: nothing of the filesystem is in memory any more. */
  remount(): void {
    execFileSync('umount', [this.path]);
    this.#mount();
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path]);
  }

  #mount(): void {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    execFileSync('mount', ['-t', 'ext4', this.device, this.path]);
  }
}

/** `ALGORITHM:HEX` as fsverity-utils print it, or undefined when the file has no fs-verity. */
export function measure(file: string): string | undefined {
  return measureAll([file]).get(file);
}

/** The same for many files. Those without fs-verity are not in the result. */
export function measureAll(files: readonly string[]): Map<string, string> {
  const measured = new Map<string, string>();
  for (let rest = files; rest.length > 0; ) {
    const { stdout } = spawnSync('fsverity', ['measure', ...rest], { encoding: 'utf8' });
    const lines = stdout.split('\n').slice(0, -1);
    for (const [index, line] of lines.entries()) measured.set(rest[index] as string, line.split(' ')[0] as string);
    // It ends at the first file that has none.
    rest = rest.slice(lines.length + 1);
  }
  return measured;
}

/** All objects of a repository have fs-verity, with the digests they are called by. */
export function assertAllSealed(repository: string, algorithm: Algorithm): void {
  const objects = filesBelow(join(repository, 'objects'));
  const measured = measureAll(objects);
  for (const object of objects)
    assert.equal(measured.get(object), `${algorithm}:${object.split('/').slice(-2).join('')}`);
}

/** Nothing is wrong with a repository, by our check and by that of cfsctl where it is there. */
export async function assertSound(path: string): Promise<void> {
  using repository = await Repository.open(path);
  assert.deepEqual((await fsckRepository(repository)).errors, []);
  if (whyNoCfsctl === false) assert.match(succeed(cfsctl, ['--repo', path, 'oci', 'fsck']), /^status: ok$/m);
}

/** Why there is no cfsctl in here, or false. */
export const whyNoCfsctl = !existsSync(cfsctl) && 'cfsctl is not there; scripts/peers.sh installs it';
