import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { walk } from '../../src/erofs/dumpfile/print.js';
import {
  contentSize,
  directoryLinks,
  isWhiteout,
  TYPE_BITS,
  type Device,
  type Directory,
  type Node,
} from '../../src/tree/tree.js';

/**
 * Mounts an EROFS image and compares what the kernel shows with the tree it was written from.
 * @returns one line for each difference
 */
export function mountedAs(image: string, root: Directory, version: 0 | 1 | 2): string[] {
  const mountpoint = mkdtempSync(join(tmpdir(), 'erofs-mount-'));
  // Random trees have ACLs that are none, which the kernel refuses to obey.
  execFileSync('mount', ['-t', 'erofs', '-o', 'ro,loop,noacl', image, mountpoint]);
  try {
    return [...differences(Buffer.from(mountpoint), root, version)];
  } finally {
    execFileSync('umount', [mountpoint]);
    rmSync(mountpoint, { recursive: true });
  }
}

function* differences(mountpoint: Buffer, root: Directory, version: 0 | 1 | 2): Generator<string> {
  const names = new Map<Node, number>();
  for (const { node } of walk(root)) names.set(node, (names.get(node) ?? 0) + 1);
  for (const { path, node } of walk(root)) {
    const place = Buffer.concat([mountpoint, Buffer.from(path, 'latin1')]);
    const shown = JSON.stringify(seen(place, node));
    const wanted = JSON.stringify(expected(node, names.get(node)!, version));
    if (shown !== wanted) yield `${path}: ${shown} instead of ${wanted}`;
  }
}

function seen(place: Buffer, node: Node): unknown[] {
  const { mode, uid, gid, nlink, mtimeNs, rdev, size } = lstatSync(place, { bigint: true });
  const numbers = [mode, uid, gid, nlink, mtimeNs, hasDevice(node) ? rdev : 0n, node.kind === 'directory' ? 0n : size];
  return [...numbers.map(String), data(place, node)];
}

/** The whiteouts of formats 0 and 1 are files. */
function hasDevice(node: Node): node is Device {
  return (node.kind === 'char' || node.kind === 'block') && !isWhiteout(node);
}

/** From the encoding of images (12 bits of major number inside 20 of minor) to that of stat(2)'s 64 bits. */
function shownDevice(rdev: number): bigint {
  const major = BigInt((rdev >>> 8) & 0xfff);
  const minor = BigInt((rdev & 0xff) | ((rdev >>> 12) & 0xfff00));
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n);
}

function data(place: Buffer, node: Node): string {
  if (node.kind === 'directory')
    return readdirSync(place, 'latin1')
      .filter((name) => !/^[0-9a-f]{2}$/.test(name))
      .sort()
      .join('/');
  if (node.kind === 'symlink') return readlinkSync(place, 'latin1');
  return node.kind === 'regular' && node.content.kind === 'inline' ? readFileSync(place, 'latin1') : '';
}

function expected(node: Node, names: number, version: 0 | 1 | 2): unknown[] {
  const whiteout = version !== 2 && isWhiteout(node);
  const nsec = version === 2 ? 0 : node.mtimeNsec;
  const numbers = [
    BigInt(TYPE_BITS[whiteout ? 'regular' : node.kind] | node.mode),
    node.uid,
    node.gid,
    node.kind === 'directory' ? directoryLinks(node) : names,
    node.mtimeSec * 1_000_000_000n + BigInt(nsec),
    hasDevice(node) ? shownDevice(node.rdev) : 0,
    node.kind === 'regular' ? contentSize(node.content) : node.kind === 'symlink' ? node.target.length : 0,
  ];
  return [...numbers.map(String), expectedData(node)];
}

function expectedData(node: Node): string {
  if (node.kind === 'directory') return [...node.entries.keys()].sort().join('/');
  if (node.kind === 'symlink') return node.target;
  return node.kind === 'regular' && node.content.kind === 'inline' ? node.content.bytes.toString('latin1') : '';
}
