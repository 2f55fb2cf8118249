import type { Fd } from '../../fd/fd-passing.js';
import type { JsonRpcConnection, RequestOptions } from './connection.js';
import { METHOD_NOT_FOUND, RemoteError, RpcProtocolError } from '../rpc-error.js';
import { methods, type GetSplitFDStreamParams, type GetSplitFDStreamResult } from '../contracts/splitfdstream.js';

/** A layer as one descriptor per file; the receiver owns all of them. */
export interface SplitFDStreamReply {
  format: 'splitfdstream';
  /** Whether the stream yields the layer's tar byte for byte; otherwise padding and end blocks are missing. */
  exact: boolean;
  /** A file of `streamSize` bytes, to be read from 0. */
  stream: Fd;
  streamSize: number;
  /** Content files, in the numbering of the stream's chunks. */
  files: Fd[];
}

/** A layer as names in directories, always exact; the receiver owns all descriptors. */
export interface SplitDirFDStreamReply {
  format: 'splitdirfdstream-v0';
  exact: true;
  /** A pipe, or a file of `streamSize` bytes to be read from 0. */
  stream: Fd;
  streamSize: number | undefined;
  dirs: Fd[];
  /** Closing it ends the server's lock on the layer. */
  lease: Fd;
}

/**
 * The features of a server, none for one that does not know the method GetInfo.
 * @throws what `JsonRpcConnection.call` throws
 */
export async function getFeatures(connection: JsonRpcConnection, options: RequestOptions = {}): Promise<Set<string>> {
  try {
    const { result, fds } = await connection.call(methods.GetInfo, {}, options);
    closeAll(fds);
    return new Set(result.features);
  } catch (error) {
    if (error instanceof RemoteError && error.rpcCode === METHOD_NOT_FOUND) return new Set();
    throw error;
  }
}

/**
 * Asks for a layer and sorts the descriptors of the answer by what they are for. A server that does not know a
 * requested extension ignores it: look at `format` and `exact` of the reply.
 * @throws RpcProtocolError INVALID_RESULT when descriptors are missing; what `JsonRpcConnection.call` throws
 */
export async function getSplitFDStream(
  connection: JsonRpcConnection,
  params: GetSplitFDStreamParams,
  options: RequestOptions = {},
): Promise<SplitFDStreamReply | SplitDirFDStreamReply> {
  const { result, fds } = await connection.call(methods.GetSplitFDStream, params, options);
  try {
    return result.format === undefined ? perFile(result, fds) : perDirectory(result, fds);
  } catch (error) {
    closeAll(fds);
    throw error;
  }
}

function perFile({ streamSize, exact }: GetSplitFDStreamResult, fds: Fd[]): SplitFDStreamReply {
  const [stream, ...files] = fds;
  if (!stream || streamSize === undefined) throw invalid('a splitfdstream needs its descriptor and streamSize');
  return { format: 'splitfdstream', exact: exact ?? false, stream, streamSize, files };
}

function perDirectory({ streamSize, dirCount }: GetSplitFDStreamResult, fds: Fd[]): SplitDirFDStreamReply {
  const [stream, ...rest] = fds;
  const lease = rest.pop();
  if (!stream || !lease || dirCount !== rest.length)
    throw invalid(
      `a splitdirfdstream with dirCount ${dirCount} came with ${fds.length} descriptors instead of dirCount + 2`,
    );
  return { format: 'splitdirfdstream-v0', exact: true, stream, streamSize, dirs: rest, lease };
}

function invalid(message: string): RpcProtocolError {
  return new RpcProtocolError('INVALID_RESULT', message);
}

function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}
