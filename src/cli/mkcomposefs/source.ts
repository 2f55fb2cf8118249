import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import { bytesOf, showBytes } from '../../bytes.js';
import { parseDump } from '../../erofs/dumpfile/parse.js';
import { FormatError } from '../../errors.js';
import { openPath } from '../../fd/fd.js';
import type { Algorithm } from '../../fsverity/algorithm.js';
import { DUMP_LIMIT } from '../../limits.js';
import type { Directory, Node } from '../../tree/tree.js';
import { CommandFailure, errorText } from '../command-failure.js';
import type { MkcomposefsOptions } from './options.js';
import { readFd } from '../read-fd.js';
import { STDIN } from '../write-fd.js';

/** What an image is to be made of; no root is a source that is not a directory. */
export interface Source {
  root: Directory | undefined;
  /** Of the digests in it. */
  algorithm: Algorithm;
}

/**
 * Reads a dumpfile whose digests may be of either algorithm.
 * @param path `-` for standard input
 * @throws CommandFailure
 */
export function readDumpFile(path: string): Source {
  const text = readDump(path);
  try {
    const root = parseDump(text);
    return { root, algorithm: algorithmOf(root) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new CommandFailure(
      error.cause instanceof FormatError ? `${error.cause.message}\nmkcomposefs: in ${error.message}` : error.message,
    );
  }
}

function readDump(path: string): Buffer {
  let fd = STDIN;
  try {
    if (path !== '-') fd = openSync(path, 'r');
  } catch (error) {
    throw new CommandFailure(`open \`${path}\`: ${errorText(error)}`);
  }
  try {
    return readFd(fd, DUMP_LIMIT);
  } catch (error) {
    throw new CommandFailure(`Error reading from file\nmkcomposefs: ${errorText(error)}`);
  } finally {
    if (fd !== STDIN) closeSync(fd);
  }
}

/** That of the first digest; a mixture is found when the image is made. */
function algorithmOf(root: Directory): Algorithm {
  const pending = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of directory.entries.values()) {
      if (node.kind === 'directory') pending.push(node);
      const digest = digestOf(node);
      if (digest !== undefined) return digest.length === 128 ? 'sha512' : 'sha256';
    }
  }
  return 'sha256';
}

function digestOf(node: Node): string | undefined {
  if (node.kind !== 'regular') return undefined;
  if (node.content.kind === 'object') return node.content.id;
  return node.content.kind === 'external' ? node.content.digest : undefined;
}

/**
 * Reads a folder, and copies the content of its files into the digest store when there is one.
 * @throws CommandFailure
 */
export async function readFolder(path: string, options: MkcomposefsOptions): Promise<Source> {
  const { scanFolder } = await import('../../tree/scan-folder.js');
  const { openDigestStore } = await import('../digest-store.js');
  try {
    if (options.skipXattrs && options.userXattrs) throw new CommandFailure(`error accessing ${path}: Invalid argument`);
    if (!lstatSync(path).isDirectory()) return { root: undefined, algorithm: 'sha256' };
    using folder = openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
    using store = options.digestStore === undefined ? undefined : openDigestStore(options.digestStore);
    const root = await scanFolder(folder, {
      xattrs: options.skipXattrs ? 'none' : options.userXattrs ? 'user' : 'all',
      devices: !options.skipDevices,
      hardlinks: options.hardlinks,
      algorithm: 'sha256',
      ...(store !== undefined && { store }),
      threads: options.threads,
    });
    if (options.useEpoch) clearTimes(root);
    return { root, algorithm: 'sha256' };
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw scanFailure(error, path);
  }
}

function scanFailure(error: unknown, path: string): CommandFailure {
  const inStore = error instanceof Error && !('errno' in error) && 'code' in error && error.code !== 'SOURCE_CHANGED';
  if (inStore) return new CommandFailure(error.message);
  const below = error instanceof Error && 'below' in error && typeof error.below === 'string' ? error.below : '';
  return new CommandFailure(`error accessing ${path}${showBytes(below)}: ${errorText(error)}`);
}

function clearTimes(root: Directory): void {
  const pending = [root];
  clearTime(root);
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of directory.entries.values()) {
      clearTime(node);
      if (node.kind === 'directory') pending.push(node);
    }
  }
}

function clearTime(node: Node): void {
  node.mtimeSec = 0n;
  node.mtimeNsec = 0;
}
