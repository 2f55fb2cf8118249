import { bytesOf } from '../../../bytes.js';
import { layerFrom } from '../../../layer/layer-pipe.js';
import type { LayerStream } from '../../../layer/stream.js';
import { layerContentId, STREAMS } from '../../../repository/names.js';
import { isDigest } from '../../../spec/manifest.js';
import { takePolicy } from '../../../repository/local-fetch.js';
import { obtainLayer } from '../../../oci/pull/obtain-layer.js';
import { openRepository } from '../../open-repository.js';
import { standardInput } from '../../standard-input.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `oci import-layer`: stores the tar on standard input as a layer. It is not read when the layer is there already. */
export async function run(
  session: Session,
  [digest, name]: [string, string | undefined],
  options: GlobalOptions,
): Promise<void> {
  if (!isDigest(digest)) throw new Error(`${digest}: layers are verified by their SHA-256`);
  using repository = await openRepository(session, options, 'write');
  const policy = takePolicy('disabled', {
    trusted: true,
    verityRequired: repository.verityRequired,
    sealSource: false,
  });
  const layer = { diffId: digest, size: undefined, open: async () => layerOnInput() };
  const { stream } = await obtainLayer(repository, layer, { policy, signal: session.signal });
  if (name !== undefined) repository.writeRef(STREAMS, bytesOf(name), layerContentId(digest));
  await session.out.line(`${repository.algorithm}:${stream}`);
}

function layerOnInput(): LayerStream {
  const stdin = standardInput();
  const source = {
    [Symbol.asyncIterator]: (): AsyncIterator<Buffer> => stdin[Symbol.asyncIterator]() as AsyncIterator<Buffer>,
    [Symbol.asyncDispose]: async () => void stdin.destroy(),
  };
  return layerFrom<Buffer>(source, { push: (bytes, out) => out.push({ kind: 'bytes', bytes }), end: () => undefined });
}
