import { layerDumpLine } from '../../oci/layer-dump.js';
import { layerStream, LayerSummary } from '../../oci/layer-summary.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { sendMerged } from '../../repository/send-merged.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

export interface LayerOptions extends GlobalOptions {
  dumpfile?: true;
  json?: true;
}

/** `oci layer`: writes a layer as its tar, as a dumpfile, or what it consists of. */
export async function run(session: Session, [diffId]: [string], options: LayerOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const stream = layerStream(repository, diffId);
  if (options.dumpfile) return session.out.pipe(dumpLines(new LayerSummary(repository, stream), session.signal));
  if (options.json) return session.out.json(await describeLayer(repository, diffId, stream, session.signal));
  if (session.out.isTerminal) throw new Error('Refusing to write tar data to a terminal. Redirect it to a file, pipe it to tar, or use --json.');
  using reader = repository.openStream(stream);
  await session.out.direct((fd) => sendMerged(fd, repository, reader, session.signal));
}

async function* dumpLines(layer: LayerSummary, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const entries of layer.entries(signal)) yield Buffer.from(entries.map(layerDumpLine).join(''), 'latin1');
}

async function describeLayer(repository: Repository, diffId: string, stream: ObjectId, signal: AbortSignal): Promise<unknown> {
  const layer = new LayerSummary(repository, stream);
  for await (const _ of layer.entries(signal)) signal.throwIfAborted();
  const { entryCount, ...splitstream } = layer.totals;
  return { diffId, verity: stream, size: splitstream.externalSize + splitstream.inlineSize, entryCount, splitstream };
}
