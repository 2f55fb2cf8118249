import type { PeerCredentials } from '../fd/fd-passing.js';
import type { Reply } from '../rpc/rpc-method.js';
import { FEATURE_SPLITDIRFDSTREAM, type GetSplitFDStreamResult } from '../rpc/splitfdstream-methods.js';
import { layerFds, type LayerToSend } from './layer-fds.js';
import type { Leases } from './leases.js';
import { readableFor } from './readable-for.js';

/** A layer as names below its directory. It is kept until the client closes the last descriptor. */
export async function directoryReply(layer: LayerToSend, peer: PeerCredentials, leases: Leases, signal: AbortSignal): Promise<Reply<GetSplitFDStreamResult>> {
  const fds = await layerFds(layer, readableFor(peer), leases, signal);
  return { result: { format: FEATURE_SPLITDIRFDSTREAM, dirCount: 1, exact: true }, fds };
}
