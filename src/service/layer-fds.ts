import { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Fd, isErrno } from '../fd/fd.js';
import { encodeSplitdirfdstream } from '../layer/splitdirfdstream-encoder.js';
import type { LayerStream, NamedChunk } from '../layer/stream.js';
import { files } from '../native.js';
import type { Leases } from './leases.js';

/** What writing ends with when the client reads no further. It knows, and the layer is released with its lease. */
const NOT_READ = ['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'];

/** The layer that is handed out, which this disposes, and the directory its chunks' names are below. */
export interface LayerToSend {
  layer: LayerStream;
  directory: Fd;
}

/**
 * A layer as names below one directory: the stream comes through a pipe and is made while the client reads, and no content is
 * read here except for files that the client cannot open.
 * @param readable whether the client may open a file itself
 * @param leases what the layer is kept by until the client closes the last descriptor
 * @returns the pipe's read end, the directory, and the lease
 * @throws when no descriptors can be had, or there are too many leases; then nothing is kept
 */
export async function layerFds({ layer, directory }: LayerToSend, readable: (chunk: NamedChunk) => boolean, leases: Leases, signal: AbortSignal): Promise<[stream: Fd, directory: Fd, lease: Fd]> {
  const fds: Fd[] = [];
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
    writer = socketOf(new Fd(write));
    const names = directory.duplicate();
    fds.push(names);
    // A failure here ends the stream early, which the client sees as a tar that does not match its diff_id: whoever runs the
    // server has to be told the reason.
    written = pipeline(encodeSplitdirfdstream(layer, (chunk) => (readable(chunk) ? 0 : undefined)), writer, { signal }).catch((error: unknown) => {
      if (!released && !signal.aborted && !isErrno(error, ...NOT_READ)) leases.fail(error);
    });
    return [stream, names, leases.start({ [Symbol.asyncDispose]: release })];
  } catch (error) {
    // Without descriptors left, say. The layer's lock must not outlive the request.
    for (const fd of fds) fd.close();
    await release();
    throw error;
  }
}

function socketOf(fd: Fd): Socket {
  try {
    const socket = new Socket({ fd: fd.number, readable: false, writable: true });
    fd.take();
    return socket;
  } catch (error) {
    fd.close();
    throw error;
  }
}
