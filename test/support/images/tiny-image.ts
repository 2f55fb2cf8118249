// An image of one layer with one file of 100 bytes, as a splitfdstream server would tell it: made by hand, so that
// tests can lie.
import { createHash } from 'node:crypto';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fd } from '../../../src/fd/fd.js';
import { files } from '../../../src/native.js';
import { END, header, padded } from '../layers/make-tar.js';

export const CONTENT = Buffer.alloc(100, 'content ');
/** What stands before the content, and after it. */
export const HEAD = Buffer.concat([
  header({ name: 'usr/', type: '5', mode: 0o755 }),
  header({ name: 'usr/a', size: CONTENT.length }),
]);
const TAIL = Buffer.concat([padded(CONTENT).subarray(CONTENT.length), END]);

export const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
export const DIFF_ID = sha256(Buffer.concat([HEAD, CONTENT, TAIL]));

export function config(diffIds: readonly string[] = [DIFF_ID]): Buffer {
  return Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
}

export function manifest(of: Buffer = config(), layers: readonly string[] = [DIFF_ID]): Buffer {
  const descriptor = (kind: string, digest: string, size: number): object => ({
    mediaType: `application/vnd.oci.image.${kind}`,
    digest,
    size,
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: descriptor('config.v1+json', sha256(of), of.length),
      layers: layers.map((digest) => descriptor('layer.v1.tar', digest, 1)),
    }),
  );
}

export interface GetImageAnswer {
  manifest: string;
  config: string;
  layerDigests: string[];
  layers: { id: string; parentId: string; diffId: string; size?: number }[];
}

export function imageAnswer(change: Partial<GetImageAnswer> = {}): GetImageAnswer {
  return {
    manifest: manifest().toString(),
    config: config().toString(),
    layerDigests: ['top'],
    layers: [{ id: 'top', parentId: '', diffId: DIFF_ID }],
    ...change,
  };
}

/** splitdirfdstream chunks. */
export function bytesChunk(bytes: Buffer, announced = bytes.length, type = 0): Buffer {
  const head = Buffer.from([type, 0, 0, 0, 0]);
  head.writeUInt32LE(announced, 1);
  return Buffer.concat([head, bytes]);
}

export function fileChunk(
  name: string | Buffer,
  size: number | bigint = CONTENT.length,
  slot = 0,
  nameLength?: number,
): Buffer {
  const bytes = Buffer.from(name);
  const head = Buffer.alloc(17, 2);
  head.writeBigUInt64LE(BigInt(size), 1);
  head.writeUInt32LE(slot, 9);
  head.writeUInt32LE(nameLength ?? bytes.length, 13);
  return Buffer.concat([head, bytes]);
}

export const directoryStream = (file: Buffer = fileChunk('usr/a')): Buffer =>
  Buffer.concat([bytesChunk(HEAD), file, bytesChunk(TAIL)]);

/** splitfdstream chunks: inline bytes, or the number of a file. */
export function prefix(value: bigint, bytes: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigInt64LE(value);
  return Buffer.concat([head, bytes]);
}

const inline = (bytes: Buffer): Buffer => prefix(-BigInt(bytes.length), bytes);
export const fileStream = (file: Buffer = prefix(0n)): Buffer => Buffer.concat([inline(HEAD), file, inline(TAIL)]);

/** The layer's files below `folder`, and things that are not files. */
export function writeTree(folder: string): void {
  mkdirSync(join(folder, 'usr'), { recursive: true });
  writeFileSync(join(folder, 'usr/a'), CONTENT);
  writeFileSync(join(folder, 'secret'), CONTENT);
}

/** A descriptor with these bytes to read: a pipe whose writing end is closed, or stays open until disposed. */
export function pipeWith(bytes: Buffer, keepOpen?: Fd[]): Fd {
  const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
  writeFileSync(write.number, bytes);
  if (keepOpen) keepOpen.push(write);
  else write.close();
  return read;
}

export const opened = (path: string, flags: number | string = 'r'): Fd => new Fd(openSync(path, flags));
