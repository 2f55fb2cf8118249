import { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Fd } from '../fd/fd.js';
import type { PeerCredentials } from '../fd/fd-passing.js';
import { encodeSplitdirfdstream } from '../layer/splitdirfdstream-encoder.js';
import { files } from '../native.js';
import type { Reply } from '../rpc/rpc-method.js';
import { FEATURE_SPLITDIRFDSTREAM, type GetSplitFDStreamResult } from '../rpc/splitfdstream-methods.js';
import type { TarSplitStream } from '../storage/layer-stream.js';
import type { Leases } from './leases.js';
import { readableFor } from './readable-for.js';

/**
 * A layer as names below its directory: the stream comes through a pipe and is made while the client reads, no content is
 * read here, and two descriptors more are all that is passed. The layer stays locked until the client closes the last of them.
 */
export async function directoryReply(layer: TarSplitStream, peer: PeerCredentials, leases: Leases, signal: AbortSignal): Promise<Reply<GetSplitFDStreamResult>> {
  const fds: Fd[] = [];
  let written = Promise.resolve();
  let writer: Socket | undefined;
  const release = async (): Promise<void> => {
    writer?.destroy();
    await written;
    await layer[Symbol.asyncDispose]();
  };
  try {
    const [read, write] = files.pipe();
    fds.push(new Fd(read));
    writer = socketOf(new Fd(write));
    fds.push(layer.directory.duplicate());
    const readable = readableFor(peer);
    // When the client stops reading there is nothing to report: it knows, and the layer is released with its lease. A
    // failure here ends the stream early, which the client sees as a tar that does not match its diff_id.
    written = pipeline(encodeSplitdirfdstream(layer, (chunk) => (readable(chunk) ? 0 : undefined)), writer, { signal }).catch(() => {});
    fds.push(leases.start({ [Symbol.asyncDispose]: release }));
    return { result: { format: FEATURE_SPLITDIRFDSTREAM, dirCount: 1, exact: true }, fds };
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
