import { printableLines } from '../../bytes.js';
import { closeSync, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import { formatVersionFor } from '../../erofs/format/version.js';
import { writeErofs } from '../../erofs/write/writer.js';
import { FormatError } from '../../errors.js';
import type { Algorithm } from '../../fsverity/algorithm.js';
import { verityDigest } from '../../fsverity/digest.js';
import type { Directory } from '../../tree/tree.js';
import { argumentProblem } from '../arguments.js';
import { CommandFailure, errorText } from '../command-failure.js';
import { MkcomposefsUsage, parseMkcomposefsOptions, type MkcomposefsOptions } from './options.js';
import { readDumpFile, readFolder } from './source.js';
import { print, STDERR, STDOUT, writeFd } from '../write-fd.js';

/**
 * The command mkcomposefs, as in composefs 1.0.8: makes an image of a folder or a dumpfile.
 * @param args without the program's name
 * @returns the exit status: 0 done, 1 anything else
 */
export async function mkcomposefs(args: readonly string[]): Promise<number> {
  try {
    const problem = argumentProblem();
    if (problem !== undefined) throw new CommandFailure(problem);
    await make(parseMkcomposefsOptions(args));
    return 0;
  } catch (error) {
    if (error instanceof MkcomposefsUsage) writeFd(STDERR, printableLines(error.message));
    else if (error instanceof CommandFailure) writeFd(STDERR, `mkcomposefs: ${printableLines(error.message)}\n`);
    else throw error;
    return 1;
  }
}

async function make(options: MkcomposefsOptions): Promise<void> {
  if (options.source === '') throw new CommandFailure('Empty source path specified');
  const output = options.image === undefined ? undefined : openOutput(options.image);
  try {
    const source = options.fromFile ? readDumpFile(options.source) : await readFolder(options.source, options);
    const image = encode(source.root, source.algorithm, options);
    if (output !== undefined) writeOutput(output, image);
    if (options.printDigest) print(`${verityDigest(image, source.algorithm).toString('hex')}\n`);
  } finally {
    if (output !== undefined && output !== STDOUT) closeSync(output);
  }
}

function encode(
  root: Directory | undefined,
  algorithm: Algorithm,
  { minVersion, maxVersion }: MkcomposefsOptions,
): Buffer {
  const [min, max] = [minVersion >>> 0, Math.max(minVersion >>> 0, maxVersion >>> 0)];
  if (!isVersion(min) || !isVersion(max)) throw new CommandFailure('cannot write file: Invalid argument');
  if (root === undefined) throw new CommandFailure('cannot write file: Not a directory');
  try {
    return writeErofs(root, { version: formatVersionFor(root, min, max), algorithm, writer: 'composefs' });
  } catch (error) {
    if (error instanceof FormatError) throw new CommandFailure(`cannot write file: ${error.message}`);
    throw error;
  }
}

function isVersion(version: number): version is 0 | 1 {
  return version === 0 || version === 1;
}

/** Before anything is read, as in C, but what is there stays until the image is made. */
function openOutput(path: string): number {
  if (path === '-') {
    if (isatty(STDOUT)) throw new CommandFailure('stdout is a tty. Refusing to use it');
    return STDOUT;
  }
  try {
    return openSync(path, 'r+');
  } catch {
    // A new file, one that can only be written to, or a place where nothing can be.
  }
  try {
    return openSync(path, 'w', 0o644);
  } catch (error) {
    throw new CommandFailure(`failed to open output file: ${errorText(error)}`);
  }
}

function writeOutput(fd: number, image: Buffer): void {
  try {
    if (fd !== STDOUT && fstatSync(fd).isFile()) ftruncateSync(fd);
    writeFd(fd, image);
  } catch (error) {
    throw new CommandFailure(`cannot write file: ${errorText(error)}`);
  }
}
