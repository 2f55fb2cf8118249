import { readFileSync } from 'node:fs';
import { decompress } from 'zstd-napi';

const FIXTURES = new URL('../../../fixtures/', import.meta.url);

export function fixture(path: string): Buffer {
  return readFileSync(new URL(path, FIXTURES));
}

export function fixtureUrl(path: string): URL {
  return new URL(path, FIXTURES);
}

/** One chunk of a recorded splitstream: inline bytes, or the hex id of an object. */
export type GoldenChunk = Buffer | string;

/** Takes a splitstream (SHA-256 repository) apart with nothing but the layout in the format's description. */
export function goldenSplitstream(path: string): GoldenChunk[] {
  const file = fixture(path);
  const info = Number(file.readBigUInt64LE(16));
  const range = (at: number): [number, number] => [
    Number(file.readBigUInt64LE(info + at)),
    Number(file.readBigUInt64LE(info + at + 8)),
  ];
  const objects = file.subarray(...range(16));
  const body = decompress(file.subarray(...range(32)));
  const chunks: GoldenChunk[] = [];
  for (let pos = 0; pos < body.length; ) {
    const prefix = Number(body.readBigInt64LE(pos));
    pos += 8;
    if (prefix < 0) chunks.push(body.subarray(pos, (pos -= prefix)));
    else chunks.push(objects.toString('hex', prefix * 32, prefix * 32 + 32));
  }
  return chunks;
}

/** The size of every object that a layer's dumpfile names, by its hex id. */
export function dumpedObjectSizes(dump: string): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const line of dump.split('\n')) {
    const [, size, , , , , , , , , digest] = line.split(' ');
    if (digest !== undefined && digest !== '-') sizes.set(digest, Number(size));
  }
  return sizes;
}
