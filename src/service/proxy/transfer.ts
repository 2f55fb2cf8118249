import { createHash, type Hash } from 'node:crypto';
import type { PipePump } from '../../fd/pipe-pump.js';
import { readChunk } from '../../layer/content.js';
import { closeChunk, type LayerStream } from '../../layer/stream.js';
import { PartSource } from '../../oci/source/blobs/image-files.js';
import type { ByteSource } from '../../fd/byte-source.js';
import { ProxyFault } from './proxy-fault.js';
import type { BlobContent, ProxyBlob } from './proxy-image.js';

export interface TransferOptions {
  /** What the blob has to be; without it nothing is verified. */
  expected?: { digest: string; size: number } | undefined;
  /** milliseconds without a byte from the source; 0: forever */
  idleLimit: number;
  /** called when the source is silent for too long; has to make its next step throw */
  giveUp: (reason: Error) => void;
}

/**
 * Sends a blob into a pipe. More than it should have is not sent.
 * @param blob is disposed
 * @param pump hashes, if anything is expected; all is in the pipe when this returns
 * @throws ProxyFault for another blob than was expected, in skopeo's words; PumpFailure; what the source throws
 */
export async function transfer(blob: ProxyBlob, pump: PipePump, options: TransferOptions): Promise<void> {
  const { content } = blob;
  await using _ = content.source;
  const { expected } = options;
  // The addon hashes with SHA-256 only, which all but a few blobs are named by.
  const algorithm = expected?.digest.slice(0, expected.digest.indexOf(':')) ?? 'sha256';
  const ownHash = algorithm === 'sha256' ? undefined : createHash(algorithm);
  const left = { bytes: expected?.size ?? Infinity, sent: 0 };
  let whole: boolean;
  try {
    whole = await send(content, pump, left, ownHash, options);
    await pump.drained();
  } catch (error) {
    // What it reads from is closed next.
    await pump.halt(error);
    throw error;
  }
  if (expected === undefined) return;
  if (!whole)
    throw new ProxyFault(`expected ${expected.size} bytes in blob, got ${blob.size ?? `more than ${expected.size}`}`);
  const actual = ownHash?.digest('hex') ?? pump.digest();
  if (`${algorithm}:${actual}` !== expected.digest)
    throw new ProxyFault(`corrupted blob, expecting ${expected.digest}`);
  if (left.sent !== expected.size) throw new ProxyFault(`expected ${expected.size} bytes in blob, got ${left.sent}`);
}

interface Left {
  /** bytes that there may still be */
  bytes: number;
  sent: number;
}

/** @returns whether that was all of it */
async function send(
  content: BlobContent,
  pump: PipePump,
  left: Left,
  hash: Hash | undefined,
  options: TransferOptions,
): Promise<boolean> {
  if (hash === undefined) {
    if (content.kind === 'layer') return sendLayer(content.source, pump, left);
    if (content.source instanceof PartSource) return sendFile(content.source, pump, left);
  }
  const pieces = content.kind === 'layer' ? bytesOfLayer(content.source) : watched(content.source, options);
  for await (const piece of pieces) {
    const part = piece.subarray(0, take(left, piece.length));
    hash?.update(part);
    pump.bytes(part);
    if (part.length < piece.length) return false;
    await pump.room();
  }
  return true;
}

async function sendFile(source: PartSource, pump: PipePump, left: Left): Promise<boolean> {
  const { fd, start, size } = source.take();
  const length = take(left, size);
  pump.range(fd, start, length);
  return length === size;
}

async function sendLayer(layer: LayerStream, pump: PipePump, left: Left): Promise<boolean> {
  for await (const chunks of layer) {
    let taken = 0;
    try {
      for (const chunk of chunks) {
        const size = chunk.kind === 'bytes' ? chunk.bytes.length : chunk.size;
        if (take(left, size) < size) return false;
        taken++;
        if (chunk.kind === 'bytes') pump.bytes(chunk.bytes);
        else if (chunk.kind === 'named') pump.named(chunk.dir, chunk.name, chunk.size);
        else pump.open(chunk.fd.move(), chunk.size);
      }
    } finally {
      chunks.slice(taken).forEach(closeChunk);
    }
    await pump.room();
  }
  // What the chunks name is open until the layer is disposed.
  await pump.drained();
  return true;
}

/** How many of so many bytes there may still be. */
function take(left: Left, bytes: number): number {
  const taken = Math.min(left.bytes, bytes);
  left.bytes -= taken;
  left.sent += taken;
  return taken;
}

async function* bytesOfLayer(layer: LayerStream): AsyncGenerator<Buffer, void, void> {
  for await (const chunks of layer) {
    let taken = 0;
    try {
      for (const chunk of chunks) {
        taken++;
        if (chunk.kind === 'bytes') yield chunk.bytes;
        else yield* readChunk(chunk);
      }
    } finally {
      chunks.slice(taken).forEach(closeChunk);
    }
  }
}

/** Pieces of a source that may not be silent for longer than the limit; time that its reader takes does not count. */
async function* watched(
  source: ByteSource,
  { idleLimit, giveUp }: TransferOptions,
): AsyncGenerator<Buffer, void, void> {
  const pieces = source[Symbol.asyncIterator]();
  for (;;) {
    const timer =
      idleLimit === 0
        ? undefined
        : setTimeout(
            () => giveUp(new ProxyFault(`no data for ${idleLimit / 1000} s: the blob is given up`, 'retryable')),
            idleLimit,
          );
    try {
      const next = await pieces.next();
      if (next.done === true) return;
      clearTimeout(timer);
      yield next.value;
    } finally {
      clearTimeout(timer);
    }
  }
}
