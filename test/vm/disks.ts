// The machine's disks; see scripts/vm.sh, which makes them.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { cfsctl } from '../interop/peers.js';

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
    const blocks = execFileSync('debugfs', ['-R', `blocks <${ino}>`, this.device], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim().split(' ').map(Number);
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
  const { status, stdout } = spawnSync('fsverity', ['measure', file], { encoding: 'utf8' });
  return status === 0 ? stdout.split(' ')[0] : undefined;
}

/** Why there is no cfsctl in here, or false. */
export const whyNoCfsctl = !existsSync(cfsctl) && 'cfsctl is not there; scripts/peers.sh installs it';
