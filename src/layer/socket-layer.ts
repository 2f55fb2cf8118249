// A layer on its way between two processes of ours: a splitdirfdstream over a socket, with each folder beside the bytes
// that name it first, and with files that no name leads to.
import * as z from 'zod';
import type { Abortable } from '../abortable.js';
import { FormatError } from '../errors.js';
import type { ByteSource } from '../fd/byte-source.js';
import { MAX_FDS_PER_SEND, type Connection, type Fd } from '../fd/fd-passing.js';
import { LAYER_FOLDERS_LIMIT } from '../limits.js';
import { openContent } from './content.js';
import { decodeSplitdirfdstream } from './splitdirfdstream-decoder.js';
import { encodeSplitdirfdstream } from './splitdirfdstream-encoder.js';
import { BYTES_HEADER_SIZE, PACKED_BLOB } from './splitdirfdstream-format.js';
import { closeChunk, type Chunk, type LayerStream, type NamedChunk, type PackedBlob } from './stream.js';

export interface SendLayerOptions extends Abortable {
  /** whether the other end may open a file itself; default: all of them */
  mayOpen?: (chunk: NamedChunk) => boolean;
  /** called now and then with the number of tar bytes that have been read */
  onProgress?: ((tarBytes: number) => void) | undefined;
}

/**
 * Sends a layer: files by name, or as descriptors where the other end may not open them or they are open already. Names
 * have to lead where they led until the other end has let go of the layer: see `untilReleased`.
 * @param layer stays the caller's
 * @param connection a stream; stays the caller's
 * @throws SocketError `PEER_GONE` when the other end does not want all of it; what reading the layer throws; the
 *   signal's reason
 */
export async function sendLayer(
  layer: LayerStream,
  connection: Connection,
  options: SendLayerOptions = {},
): Promise<void> {
  const { signal } = options;
  using slots = new Slots();
  const chunks = openedChunks(layer, options);
  const ours = { split: true, passFile: (file: Fd) => slots.ofFile(file) };
  for await (const piece of encodeSplitdirfdstream(chunks, ({ dir }) => slots.ofFolder(dir), ours)) {
    let sent = 0;
    // What there is no room for beside the last bytes goes before.
    for (; slots.waiting > MAX_FDS_PER_SEND; sent++)
      await slots.send((fds) => connection.send(piece.subarray(sent, sent + 1), fds, { signal }));
    await slots.send((fds) => connection.send(piece.subarray(sent), fds, { signal }));
  }
  if (layer.blob !== undefined) await connection.send(blobChunk(layer.blob), [], { signal });
  await connection.shutdown();
}

/** Waits until the other end has let go of a layer that was sent. @throws SocketError; the signal's reason */
export async function untilReleased(connection: Connection, { signal }: Abortable = {}): Promise<void> {
  await connection.receive({ signal });
}

/**
 * A layer that comes over a connection, whose ownership is taken. What goes wrong at the other end shows as its end.
 * @returns a stream that throws FormatError, with the offset in the splitdirfdstream, while it is read; SocketError
 */
export function receivedLayer(connection: Connection): LayerStream {
  const slots: Fd[] = [];
  let taken = 0;
  const source: ByteSource = {
    async *[Symbol.asyncIterator]() {
      for await (const { bytes, fds } of connection) {
        slots.push(...fds);
        if (slots.length - taken > LAYER_FOLDERS_LIMIT)
          throw new FormatError('SPLITDIRFDSTREAM', `more than ${LAYER_FOLDERS_LIMIT} descriptors came with a layer`);
        yield bytes;
      }
    },
    async [Symbol.asyncDispose]() {
      // Closing alone is not seen there while the other end keeps a copy of this one.
      await connection.shutdown().catch(() => undefined);
      connection.close();
    },
  };
  const left = {
    [Symbol.dispose]() {
      for (const fd of slots) fd.close();
    },
  };
  const takeFile = (slot: number): Fd | undefined => {
    const file = slots[slot];
    if (file === undefined || file.closed) return undefined;
    taken++;
    return file.move();
  };
  let blob: PackedBlob | undefined;
  const layer = decodeSplitdirfdstream(source, slots, [left], {
    takeFile,
    blob: (json) => (blob = blobSchema.parse(JSON.parse(json))),
  });
  return {
    [Symbol.asyncIterator]: () => layer[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: () => layer[Symbol.asyncDispose](),
    get blob() {
      return blob;
    },
  };
}

const blobSchema = z.strictObject({
  digest: z.string(),
  size: z.int().min(0),
  compression: z.enum(['none', 'gzip', 'zstd']),
});

function blobChunk({ digest, size, compression }: PackedBlob): Buffer {
  const json = Buffer.from(JSON.stringify({ digest, size, compression }));
  const chunk = Buffer.allocUnsafe(BYTES_HEADER_SIZE + json.length);
  chunk[0] = PACKED_BLOB;
  chunk.writeUInt32LE(json.length, 1);
  json.copy(chunk, BYTES_HEADER_SIZE);
  return chunk;
}

/** Numbers of descriptors, in the order in which they are sent. */
class Slots implements Disposable {
  readonly #folders = new Map<Fd, number>();
  #count = 0;
  /** those that were not sent yet; files are closed when they were */
  #fresh: { fd: Fd; isFile: boolean }[] = [];

  get waiting(): number {
    return this.#fresh.length;
  }

  ofFolder(dir: Fd): number {
    const known = this.#folders.get(dir);
    if (known !== undefined) return known;
    this.#fresh.push({ fd: dir, isFile: false });
    this.#folders.set(dir, this.#count);
    return this.#count++;
  }

  /** @param file is taken */
  ofFile(file: Fd): number {
    this.#fresh.push({ fd: file, isFile: true });
    return this.#count++;
  }

  /** Sends as many as go at once. */
  async send(send: (fds: readonly Fd[]) => Promise<void>): Promise<void> {
    await send(this.#fresh.slice(0, MAX_FDS_PER_SEND).map(({ fd }) => fd));
    for (const { fd, isFile } of this.#fresh.splice(0, MAX_FDS_PER_SEND)) if (isFile) fd.close();
  }

  [Symbol.dispose](): void {
    for (const { fd, isFile } of this.#fresh) if (isFile) fd.close();
  }
}

async function* openedChunks(
  layer: LayerStream,
  { mayOpen = () => true, onProgress }: SendLayerOptions,
): AsyncGenerator<readonly Chunk[], void, void> {
  let size = 0;
  for await (const chunks of layer) {
    for (const chunk of chunks) size += chunk.kind === 'bytes' ? chunk.bytes.length : chunk.size;
    const opened: Chunk[] = [];
    try {
      for (const chunk of chunks)
        opened.push(
          chunk.kind === 'named' && !mayOpen(chunk)
            ? { kind: 'fd', fd: await openContent(chunk), size: chunk.size }
            : chunk,
        );
    } catch (error) {
      [...opened, ...chunks].forEach(closeChunk);
      throw error;
    }
    yield opened;
    onProgress?.(size);
  }
}
