import { closeSync, openSync } from 'node:fs';
import { bytesOf, type ByteString, printableLines } from '../../bytes.js';
import { printStored } from '../../erofs/dumpfile/stored-print.js';
import { readErofs, type StoredInode } from '../../erofs/read/reader.js';
import { FormatError } from '../../errors.js';
import { Fd } from '../../fd/fd.js';
import { verityDigestOfFd } from '../../fsverity/digest.js';
import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import { files } from '../../native.js';
import type { Directory, Node } from '../../tree/tree.js';
import { argumentProblem } from '../arguments.js';
import { CommandFailure, errorText } from '../command-failure.js';
import { listLines, payloadsOf } from './list.js';
import { InfoUsage, parseInfoOptions, type InfoOptions } from './options.js';
import { missingBelow, openBasedir } from './missing.js';
import { readFd } from '../read-fd.js';
import { print, STDERR, writeFd } from '../write-fd.js';

/** Lines are written together up to this many characters. */
const GATHER = 1 << 16;

/**
 * The command composefs-info, as in composefs 1.0.8: shows what is in images.
 * @param args without the program's name
 * @returns the exit status: 0 done, 1 anything else
 */
export async function composefsInfo(args: readonly string[]): Promise<number> {
  try {
    const problem = argumentProblem();
    if (problem !== undefined) throw new CommandFailure(problem);
    const options = parseInfoOptions(args);
    if (options.command === 'measure-file') await measure(options.paths);
    else show(options);
    return 0;
  } catch (error) {
    if (error instanceof InfoUsage) writeFd(STDERR, printableLines(error.message));
    else if (error instanceof CommandFailure) writeFd(STDERR, `composefs-info: ${printableLines(error.message)}\n`);
    else throw error;
    return 1;
  }
}

async function measure(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    using file = new Fd(openFile(path));
    print(`${(await digestOf(file, path)).toString('hex')}\n`);
  }
}

async function digestOf(file: Fd, path: string): Promise<Buffer> {
  try {
    return files.measureVerity(file.number) ?? (await verityDigestOfFd(file, 'sha256'));
  } catch (error) {
    throw new CommandFailure(`failed to measure '${path}': ${errorText(error)}`);
  }
}

function show({ command, paths, basedir, filter }: InfoOptions): void {
  using folder = basedir === undefined ? undefined : openBasedir(basedir);
  const payloads = new Set<ByteString>();
  for (const path of paths) {
    const { root, stored } = load(path, filter);
    if (command === 'ls') writeLines(listLines(root));
    else if (command === 'dump') writeLines(printStored(root, stored));
    else for (const payload of payloadsOf(root)) payloads.add(payload);
  }
  const missing = command === 'missing-objects' && folder !== undefined ? missingBelow(folder, payloads) : payloads;
  writeLines([...missing].sort().map((payload) => `${payload}\n`));
}

function load(path: string, filter: readonly string[]): { root: Directory; stored: Map<Node, StoredInode> } {
  const fd = openFile(path);
  try {
    const stored = new Map<Node, StoredInode>();
    const { root } = readErofs(readFd(fd, EROFS_IMAGE_LIMIT), { writer: 'composefs', stored });
    if (filter.length > 0) keepOnly(root, filter.map(bytesOf));
    return { root, stored };
  } catch (error) {
    const reason =
      error instanceof FormatError ? `Invalid argument\ncomposefs-info: ${error.message}` : errorText(error);
    throw new CommandFailure(`Failed to load '${path}': ${reason}`);
  } finally {
    closeSync(fd);
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw new CommandFailure(`Failed to open '${path}': ${errorText(error)}`);
  }
}

function keepOnly(root: Directory, names: readonly ByteString[]): void {
  for (const name of root.entries.keys()) if (!names.includes(name)) root.entries.delete(name);
}

function writeLines(lines: Iterable<ByteString>): void {
  let text = '';
  for (const line of lines) {
    text += line;
    if (text.length < GATHER) continue;
    print(Buffer.from(text, 'latin1'));
    text = '';
  }
  print(Buffer.from(text, 'latin1'));
}
