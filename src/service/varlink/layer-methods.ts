// Layers of repositories, handed out and taken in without their content.
import { DigestMismatchError } from '../../errors.js';
import type { Fd, PeerCredentials } from '../../fd/fd-passing.js';
import { ForeignFd } from '../../fd/foreign-fd.js';
import { sourceFromFd, type ByteSource } from '../../fd/byte-source.js';
import { decodeSplitdirfdstream } from '../../layer/splitdirfdstream-decoder.js';
import type { LayerStream } from '../../layer/stream.js';
import { HashedLayer } from '../../oci/image/hashed-layer.js';
import { layerContentId } from '../../repository/names.js';
import { takePolicy } from '../../repository/local-fetch.js';
import { obtainLayer } from '../../oci/pull/obtain-layer.js';
import { objectsByName, RepositoryLayer } from '../../oci/image/repository-layer.js';
import { withSilenceLimit } from '../../oci/source/silence.js';
import type { Repository } from '../../repository/repository.js';
import { implement, type VarlinkCall, type VarlinkHandler } from '../../rpc/varlink/server.js';
import { layerFds } from '../layer-fds.js';
import type { Leases } from '../leases.js';
import { contentOnly, lend, type LayerToSend } from '../lend.js';
import { readableForAll } from '../../layer/readable-for.js';
import type { ConnectionRepositories } from './handles.js';
import { checkDiffId } from './internal-error.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../rpc/contracts/features.js';
import { ociInterface, ociMethods } from '../../rpc/contracts/oci.js';
import type { GetLayerParams, PutLayerParams, PutLayerReply } from '../../rpc/contracts/oci-transfer.js';
import { isRootOrSelf } from '../../fd/peer.js';

/** A client that sends a layer neither goes on nor ends it: so long the repository waits, in milliseconds. */
const SENDER_SILENCE = 300_000;

/** @param signal ends the streams that are under way */
export function layerHandlers(
  repositories: ConnectionRepositories,
  leases: Leases,
  signal: AbortSignal,
): [string, VarlinkHandler][] {
  return [
    implement(ociMethods.GetInfo, async () => ({ parameters: { features: [FEATURE_SPLITDIRFDSTREAM] } })),
    implement(ociMethods.HasLayer, async (parameters, call) => {
      checkDiffId(parameters.diff_id);
      using repository = await repositories.use(parameters.handle, 'read', call.signal);
      const stream = repository.streamObject(layerContentId(parameters.diff_id));
      return { parameters: { present: stream !== undefined, layer_verity: stream ?? null } };
    }),
    implement(ociMethods.GetLayer, async ({ handle, params }, call) => {
      const diffId = wantedLayer(params);
      const layer = await layerOf(await repositories.use(handle, 'read', call.signal), diffId, call.peer, signal);
      // The client says what it may open: it knows its capabilities, and only its own pull fails when it is wrong.
      const readable = params.consumer_has_cap_dac_override ? () => true : readableForAll();
      return { parameters: { dir_count: 1 }, fds: await layerFds(layer, readable, leases, signal) };
    }),
    implement(ociMethods.PutLayer, async (parameters, call) => {
      using repository = await repositories.use(parameters.handle, 'write', call.signal);
      if (call.fds.length < 2)
        throw ociInterface.error('InvalidRequest', {
          message: `a stream and at least one directory are expected, ${call.fds.length} descriptors came`,
        });
      checkDiffId(parameters.diff_id);
      await ForeignFd.check(call.fds, call.signal);
      return { parameters: await receive(repository, parameters, call) };
    }),
  ];
}

function wantedLayer({ diff_id: diffId }: GetLayerParams['params']): string {
  if (diffId == null)
    throw ociInterface.error('InvalidRequest', { message: 'diff_id is needed: layers here are those of a repository' });
  checkDiffId(diffId);
  return diffId;
}

/** The stored layer, which closes the repository when it is disposed. */
async function layerOf(
  repository: Repository,
  diffId: string,
  peer: PeerCredentials,
  signal: AbortSignal,
): Promise<LayerToSend> {
  try {
    const stream = repository.streamObject(layerContentId(diffId));
    if (stream === undefined) throw ociInterface.error('NoSuchLayer', { diff_id: diffId });
    // The client verifies the layer as a whole; measuring each object would mean to send its content.
    const open = (within: Fd): LayerStream =>
      new RepositoryLayer(repository, stream, signal, objectsByName(repository, within));
    const { layer, ...lent } = repository.believed
      ? await lend(repository.objects.dir, peer, open)
      : contentOnly(new HashedLayer(repository, stream, diffId, signal));
    const dispose = async (): Promise<void> => {
      await layer[Symbol.asyncDispose]();
      repository[Symbol.dispose]();
    };
    return {
      layer: { [Symbol.asyncIterator]: () => layer[Symbol.asyncIterator](), [Symbol.asyncDispose]: dispose },
      ...lent,
    };
  } catch (error) {
    repository[Symbol.dispose]();
    throw error;
  }
}

async function receive(
  repository: Repository,
  { diff_id: diffId, zerocopy }: PutLayerParams,
  { fds, peer, signal }: VarlinkCall,
): Promise<PutLayerReply> {
  const [stream, ...others] = fds;
  const source = withSilenceLimit(sourceFromFd(stream!.move()), SENDER_SILENCE, signal);
  const dirs = others.map((fd) => fd.move());
  await using incoming = decodeSplitdirfdstream(source, dirs);
  let imported = false;
  const open = async (): Promise<LayerStream> => {
    imported = true;
    return incoming;
  };
  // Who asks for content to be shared agrees to the sealing that this takes in a repository with fs-verity.
  const trusted = isRootOrSelf(peer.uid);
  const policy = takePolicy(zerocopy ? 'zerocopy' : 'auto', {
    trusted,
    verityRequired: repository.verityRequired,
    sealSource: zerocopy,
    silenceLimit: SENDER_SILENCE,
  });
  try {
    const layer = { diffId, size: undefined, open };
    const { stream: id, stats } = await obtainLayer(repository, layer, { policy, signal });
    // Who writes the stream gets to its end also when it is not needed.
    if (!imported) await drain(source);
    return {
      layer_verity: id,
      already_present: !imported,
      objects_reflinked: stats?.reflinked ?? 0,
      objects_hardlinked: stats?.hardlinked ?? 0,
      objects_copied: stats?.copied ?? 0,
      objects_already_present: stats?.present ?? 0,
    };
  } catch (error) {
    throw mismatchOf(error, diffId) ?? error;
  }
}

async function drain(source: ByteSource): Promise<void> {
  for await (const _ of source);
}

function mismatchOf(error: unknown, diffId: string): Error | undefined {
  if (!(error instanceof DigestMismatchError) || error.place.layer !== diffId) return undefined;
  return ociInterface.error('DiffIdMismatch', { expected: diffId, actual: error.actual });
}
