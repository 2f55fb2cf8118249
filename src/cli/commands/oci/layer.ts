import { HashedLayer } from '../../../oci/image/hashed-layer.js';
import { layerDumpLine } from '../../../oci/image/layer-dump.js';
import { layerStream, StoredLayerReader } from '../../../oci/image/stored-layer.js';
import type { ObjectId } from '../../../fsverity/object-id.js';
import type { Repository } from '../../../repository/repository.js';
import { sendMerged } from '../../../repository/splitstream/send-merged.js';
import { openRepository } from '../../open-repository.js';
import type { Session } from '../../session.js';
import type { LayerOptions } from './layer.options.js';

/** `oci layer`: writes a layer as its tar, as a dumpfile, or what it consists of. */
export async function run(session: Session, [diffId]: [string], options: LayerOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const stream = layerStream(repository, diffId);
  if (options.dumpfile)
    return await session.out.pipe(dumpLines(new StoredLayerReader(repository, stream, diffId), session.signal));
  if (options.json) return await session.out.json(await describeLayer(repository, diffId, stream, session.signal));
  if (session.out.isTerminal)
    throw new Error('Refusing to write tar data to a terminal. Redirect it to a file, pipe it to tar, or use --json.');
  if (!repository.believed) {
    await using layer = new HashedLayer(repository, stream, diffId, session.signal);
    return await session.out.pipe(layer.bytes());
  }
  using reader = repository.openStream(stream);
  await session.out.direct((fd) => sendMerged(fd, repository, reader, session.signal));
}

async function* dumpLines(layer: StoredLayerReader, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const entries of layer.entries(signal)) yield Buffer.from(entries.map(layerDumpLine).join(''), 'latin1');
}

async function describeLayer(
  repository: Repository,
  diffId: string,
  stream: ObjectId,
  signal: AbortSignal,
): Promise<unknown> {
  const layer = new StoredLayerReader(repository, stream, diffId);
  for await (const _ of layer.entries(signal)) signal.throwIfAborted();
  const { entryCount, ...splitstream } = layer.totals;
  return { diffId, verity: stream, size: splitstream.externalSize + splitstream.inlineSize, entryCount, splitstream };
}
