import { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Fd, openPath } from '../fd/fd.js';
import { pipeSocket } from '../fd/pipe-socket.js';
import { encodeSplitdirfdstream } from '../layer/splitdirfdstream-encoder.js';
import type { NamedChunk } from '../layer/stream.js';
import { files } from '../native.js';
import type { Leases } from './leases.js';
import type { LayerToSend } from './lend.js';

/** What writing ends with when the client reads no further. It knows, and the layer is released with its lease. */
const NOT_READ: ReadonlySet<unknown> = new Set(['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

/**
 * A layer as names below one directory: the stream comes through a pipe and is made while the client reads, and no
 * content is read here except for files that the client cannot open, which is all of them when it may not have the
 * directory.
 * @param mayOpen whether the client may open a file itself
 * @param leases what the layer is kept by until the client closes the last descriptor
 * @returns the pipe's read end, the directory or what stands in its place, and the lease
 * @throws when no descriptors can be had, or there are too many leases; then nothing is kept
 */
export async function layerFds(
  { layer, directory, awaited }: LayerToSend,
  mayOpen: (chunk: NamedChunk) => boolean,
  leases: Leases,
  signal: AbortSignal,
): Promise<[stream: Fd, directory: Fd, lease: Fd]> {
  const fds: Fd[] = [];
  const kept = { progress: 0, awaited, [Symbol.asyncDispose]: () => release() };
  let written = Promise.resolve();
  let writer: Socket | undefined;
  let released = false;
  const release = async (): Promise<void> => {
    released = true;
    writer?.destroy();
    await written;
    await layer[Symbol.asyncDispose]();
  };
  try {
    const [read, write] = files.pipe();
    const stream = new Fd(read);
    fds.push(stream);
    writer = pipeSocket(new Fd(write));
    const names = directory?.duplicate() ?? openPath('/dev/null');
    fds.push(names);
    const slot = directory === undefined ? () => undefined : (chunk: NamedChunk) => (mayOpen(chunk) ? 0 : undefined);
    // A failure here ends the stream early, which the client sees as a tar that does not match its diff_id: whoever
    // runs the server has to be told the reason.
    written = pipeline(counted(encodeSplitdirfdstream(layer, slot), kept), writer, { signal })
      .then(() => {
        // Only now: what the socket buffers is in no pipe yet.
        kept.progress = Infinity;
      })
      .catch((error: unknown) => {
        if (!released && !signal.aborted && !(error instanceof Error && 'code' in error && NOT_READ.has(error.code)))
          leases.fail(error);
      });
    return [stream, names, leases.start(kept)];
  } catch (error) {
    // Without descriptors left, say. The layer's lock must not outlive the request.
    for (const fd of fds) fd.close();
    await release();
    throw error;
  }
}

async function* counted(pieces: AsyncIterable<Buffer>, kept: { progress: number }): AsyncGenerator<Buffer, void, void> {
  for await (const piece of pieces) {
    kept.progress++;
    yield piece;
  }
}
