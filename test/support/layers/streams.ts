import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { ByteSource } from '../../../src/fd/byte-source.js';
import { readChunk } from '../../../src/layer/content.js';
import { closeChunk, type Chunk, type LayerStream } from '../../../src/layer/stream.js';

/** Bytes cut at random places, the same ones for the same seed. */
export function* randomPieces(bytes: Buffer, seed: number, longest: number): Generator<Buffer, void, void> {
  let state = seed >>> 0;
  for (let pos = 0; pos < bytes.length; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const end = pos + 1 + ((state >>> 8) % longest);
    yield bytes.subarray(pos, end);
    pos = end;
  }
}

/** A source that has its bytes already. */
export function memorySource(pieces: Iterable<Buffer>): ByteSource {
  return {
    async *[Symbol.asyncIterator]() {
      yield* pieces;
    },
    async [Symbol.asyncDispose]() {},
  };
}

export async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** A layer whose tar comes as bytes, cut at random places. */
export function tarStream(tar: Buffer, { seed = 1, longest = 2000 } = {}): LayerStream {
  return {
    async *[Symbol.asyncIterator]() {
      for (const bytes of randomPieces(tar, seed, longest)) yield [{ kind: 'bytes' as const, bytes }];
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** The SHA-256 of the tar that a layer stands for. */
export async function tarDigest(layer: LayerStream): Promise<string> {
  await using disposed = layer;
  const hash = createHash('sha256');
  for await (const batch of disposed) {
    for (const chunk of batch) {
      if (chunk.kind === 'bytes') hash.update(chunk.bytes);
      else for await (const piece of readChunk(chunk)) hash.update(piece);
    }
  }
  return hash.digest('hex');
}

/** Reads a layer without opening any content. */
export async function drain(layer: LayerStream, visit: (chunk: Chunk) => void = closeChunk): Promise<void> {
  await using disposed = layer;
  for await (const batch of disposed) batch.forEach(visit);
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
