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

/** The number of a descriptor that an `Fd` owns. No other number gets into a system call. */
export type FdNumber = number & { readonly ofFd: true };

/** Stands for the working directory. */
export const AT_FDCWD = -100 as FdNumber;

/** The C++ addon: one function per system call. All throw errors with `code`, `errno` and `syscall`. */
export interface NativeFiles {
  openat2(dir: FdNumber, name: ByteString, flags: number, mode: number, resolve: number): number;
  fstatat(dir: FdNumber, name: ByteString): FileStat;
  /** For a name of several parts: none may be a symlink, and the last is not followed. */
  statBeneath(dir: FdNumber, name: ByteString): FileStat;
  readlinkat(dir: FdNumber, name: ByteString): ByteString;
  symlinkat(target: ByteString, dir: FdNumber, name: ByteString): void;
  renameat2(fromDir: FdNumber, from: ByteString, toDir: FdNumber, to: ByteString, flags: number): void;
  unlinkat(dir: FdNumber, name: ByteString, flags: number): void;
  mkdirat(dir: FdNumber, name: ByteString, mode: number): void;
  linkFd(fd: FdNumber, dir: FdNumber, name: ByteString): void;
  readdir(dir: FdNumber): ByteString[];
  ofdLock(fd: FdNumber, kind: 'shared' | 'exclusive' | 'none'): boolean;
  flock(fd: FdNumber, kind: 'shared' | 'exclusive' | 'none'): boolean;
  openTree(dir: FdNumber, path: ByteString): number;
  mountId(fd: FdNumber): bigint;
  measureVerity(fd: FdNumber): Buffer | undefined;
  enableVerity(fd: FdNumber, hashAlgorithm: number): boolean;
  syncfs(fd: FdNumber): Promise<void>;
  dupCloexec(fd: FdNumber): number;
  /** An empty file in memory without a name. @param label what /proc shows */
  memfd(label: ByteString): number;
  pipe(): [read: number, write: number];
  returnFreedMemory(): void;
  close(fd: FdNumber): void;
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
    const advice =
      "the package's install script makes it: let that run (pnpm approve-builds), or call npm rebuild; in a " +
      'checkout, make build';
    throw new BridgeError('NOT_BUILT', `the native addon cannot be loaded: ${reason}; ${advice}`, { cause });
  }
}

/** What the addon knows an object of its own by. */
export interface NativeHandle {
  nativeHandle(): object;
}

export const files = loadNative<NativeFiles>();
