import { createRequire } from 'node:module';
import type { ByteString } from './bytes.js';
import { BridgeError } from './errors.js';

/** lstat-like facts about a file; `size` in bytes, times as seconds and nanoseconds since 1970. */
export interface FileStat {
  dev: bigint;
  ino: bigint;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: bigint;
  size: number;
  mtimeSec: bigint;
  mtimeNsec: number;
  ctimeSec: bigint;
  ctimeNsec: number;
}

/** The C++ addon: one function per system call. All throw errors with `code`, `errno` and `syscall`. */
export interface NativeFiles {
  openat2(dir: number, name: ByteString, flags: number, mode: number, resolve: number): number;
  fstatat(dir: number, name: ByteString): FileStat;
  readlinkat(dir: number, name: ByteString): ByteString;
  symlinkat(target: ByteString, dir: number, name: ByteString): void;
  renameat2(fromDir: number, from: ByteString, toDir: number, to: ByteString, flags: number): void;
  unlinkat(dir: number, name: ByteString, flags: number): void;
  mkdirat(dir: number, name: ByteString, mode: number): void;
  linkFd(fd: number, dir: number, name: ByteString): void;
  readdir(dir: number): ByteString[];
  ofdLock(fd: number, kind: 'shared' | 'exclusive' | 'none'): boolean;
  flock(fd: number, kind: 'shared' | 'exclusive' | 'none'): boolean;
  openTree(dir: number, path: ByteString): number;
  mountId(fd: number): bigint;
  measureVerity(fd: number): Buffer | null;
  enableVerity(fd: number, hashAlgorithm: number): boolean;
  syncfs(fd: number): Promise<void>;
  dupCloexec(fd: number): number;
  pipe(): [read: number, write: number];
  returnFreedMemory(): void;
  close(fd: number): void;
}

const require = createRequire(import.meta.url);

/**
 * Loads the addon's functions of one kind; the addon is built from `native/` by `npm install`.
 * @throws BridgeError NOT_BUILT
 */
export function loadNative<T>(): T {
  try {
    return require('../../build/Release/cfsbridge.node') as T;
  } catch (cause) {
    const [reason] = (cause as Error).message.split('\n');
    const advice = "the package's install script makes it: let that run (pnpm approve-builds), or call npm rebuild; in a checkout, make build";
    throw new BridgeError('NOT_BUILT', `the native addon cannot be loaded: ${reason}; ${advice}`, { cause });
  }
}

export const files = loadNative<NativeFiles>();
