import type { Fd } from '../../fd/fd-passing.js';
import { ForeignFd } from '../../fd/foreign-fd.js';
import { sourceFromFd } from '../../fd/byte-source.js';
import { decodeSplitdirfdstream } from '../../layer/splitdirfdstream-decoder.js';
import type { LayerStream } from '../../layer/stream.js';
import { LAYER_FOLDERS_LIMIT } from '../../limits.js';
import { RpcProtocolError } from '../../rpc/rpc-error.js';
import type { ReceivedVarlinkReply } from '../../rpc/varlink/client.js';
import { withSilenceLimit } from '../source/silence.js';

/**
 * Puts the descriptors that came with the replies to GetLayer together: the stream, folders, and what keeps the layer
 * in place, which is closed when the stream is disposed.
 * @param replies as they arrive; left before their end when they make no sense
 * @param silenceLimit milliseconds that the stream may pause
 * @throws RpcProtocolError `INVALID_RESULT`, `TOO_MANY_FDS`; what the call throws
 */
export async function receiveLayer(
  replies: AsyncIterable<ReceivedVarlinkReply<{ dir_count: number }>>,
  silenceLimit: number,
  signal: AbortSignal,
): Promise<LayerStream> {
  const fds: Fd[] = [];
  try {
    const dirCount = await collect(replies, fds);
    await ForeignFd.check(fds, signal);
    const [stream, ...rest] = fds;
    const lifetimes = rest.splice(dirCount);
    if (stream === undefined || lifetimes.length === 0) {
      throw new RpcProtocolError(
        'INVALID_RESULT',
        `a layer with dir_count ${dirCount} came with ${fds.length} descriptors; it needs one before the folders ` +
          'and at least one after them',
      );
    }
    return decodeSplitdirfdstream(withSilenceLimit(sourceFromFd(stream), silenceLimit, signal), rest, lifetimes);
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
}

async function collect(
  replies: AsyncIterable<ReceivedVarlinkReply<{ dir_count: number }>>,
  fds: Fd[],
): Promise<number> {
  let dirCount: number | undefined;
  for await (const { parameters, fds: received } of replies) {
    fds.push(...received);
    const { dir_count: count } = parameters;
    dirCount ??= count;
    if (count !== dirCount || count < 0)
      throw new RpcProtocolError(
        'INVALID_RESULT',
        `a reply to GetLayer has dir_count ${count}, the first one ${dirCount}`,
      );
    if (received.length === 0)
      throw new RpcProtocolError('INVALID_RESULT', 'a reply to GetLayer came without descriptors');
    if (fds.length > LAYER_FOLDERS_LIMIT)
      throw new RpcProtocolError('TOO_MANY_FDS', `a layer came with more than ${LAYER_FOLDERS_LIMIT} descriptors`);
  }
  // The call yields at least once.
  return dirCount as number;
}
