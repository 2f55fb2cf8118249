import type { Abortable } from '../../abortable.js';
import { pipeline } from 'node:stream/promises';
import { BridgeError } from '../../errors.js';
import { Fd } from '../../fd/fd.js';
import { pipeSocket } from '../../fd/pipe-socket.js';
import { encodeSplitdirfdstream } from '../../layer/splitdirfdstream-encoder.js';
import { files } from '../../native.js';
import type { Repository } from '../../repository/repository.js';
import { readableFor } from '../../layer/readable-for.js';
import { HashedLayer } from '../image/hashed-layer.js';
import { layerStream } from '../image/stored-layer.js';
import { checkDigest, isContainerImage, parseManifest } from '../../spec/manifest.js';
import { openRepositoryImage } from '../source/repository.js';
import type { LayerSource } from '../source/source.js';
import type { RemoteRepository } from '../remote/remote-repository.js';

export interface CopyToOptions extends Abortable {
  /** tag to make in the other repository */
  name?: string | undefined;
  /** have content shared, or fail */
  zeroCopy?: boolean;
  /** told about each layer that the other side has, whether it was there already */
  onLayer?: (diffId: string, present: boolean) => void;
}

/** What the other repository calls the image. */
export interface CopyToResult {
  readonly manifestDigest: string;
  /** fs-verity digest of the manifest's stream there */
  readonly manifestVerity: string;
  readonly configDigest: string;
  /** fs-verity digest of the config's stream there */
  readonly configVerity: string;
}

/**
 * Copies an image into a repository that another program has open. Layers that it has are not sent again; of the others
 * it gets the metadata, and opens the objects by their names itself.
 * @param from open for reading
 * @param reference a tag in `from`, or `@` and the digest of a manifest
 * @throws BridgeError `NOT_AN_IMAGE` for an artifact; DigestMismatchError when the other side stores another manifest;
 *   VarlinkRemoteError; whatever reading the layers throws
 * @example
 * ```ts
 * import { copyTo, RemoteRepository, Repository } from 'composefs-bridge';
 *
 * using from = await Repository.open('/var/lib/images');
 * await using to = await RemoteRepository.connect('/run/repositories.sock', '/srv/backup');
 * const { manifestDigest } = await copyTo(from, 'debian', to, { name: 'debian' });
 * console.log(manifestDigest); // sha256:…
 * ```
 */
export async function copyTo(
  from: Repository,
  reference: string,
  to: RemoteRepository,
  { name, zeroCopy = false, signal = new AbortController().signal, onLayer }: CopyToOptions = {},
): Promise<CopyToResult> {
  await using image = await openRepositoryImage(from, reference);
  if (!isContainerImage(parseManifest(image.manifest), image.config))
    throw new BridgeError('NOT_AN_IMAGE', `${reference} is an artifact; only images can be sent to another repository`);
  const layers = [];
  for (const layer of image.layers) {
    const { diffId } = layer;
    const stored = await to.storedLayer(diffId);
    layers.push({ diff_id: diffId, layer_verity: stored ?? (await pushLayer(from, layer, to, zeroCopy, signal)) });
    onLayer?.(diffId, stored !== undefined);
  }
  const reply = await to.finalizeImage(image, layers, name);
  checkDigest('the manifest that the other repository stored', reply.manifest_digest, image.manifest);
  return {
    manifestDigest: reply.manifest_digest,
    manifestVerity: reply.manifest_verity,
    configDigest: reply.config_digest,
    configVerity: reply.config_verity,
  };
}

async function pushLayer(
  from: Repository,
  source: LayerSource,
  to: RemoteRepository,
  zeroCopy: boolean,
  signal: AbortSignal,
): Promise<string> {
  const readable = readableFor(to.server.peer);
  const objects = from.objects.dir;
  // What is sent by name, the other side opens later: a stranger could exchange it until then.
  await using layer = from.believed ? await source.open({ signal }) : hashedLayer(from, source.diffId, signal);
  const [read, write] = files.pipe();
  using reading = new Fd(read);
  using patience = new Patience(to.server.silenceLimit);
  const both = AbortSignal.any([signal, patience.signal]);
  const stream = encodeSplitdirfdstream(layer, (chunk) => (chunk.dir === objects && readable(chunk) ? 0 : undefined));
  const sending = pipeline(patience.watch(stream), pipeSocket(new Fd(write)), { signal: both });
  // Without a reader, writing ends.
  const storing = to.putLayer(source.diffId, zeroCopy, [reading, objects], both).finally(() => reading.close());
  const [sent, stored] = await Promise.allSettled([sending, storing]);
  if (stored.status === 'fulfilled') return stored.value.layer_verity;
  // A stream that ends early is refused as well, but that is not what went wrong.
  const failure: unknown =
    sent.status === 'rejected' && !isBrokenPipe(sent.reason) && !both.aborted ? sent.reason : stored.reason;
  if (!(failure instanceof BridgeError)) throw failure;
  throw new BridgeError(failure.code, `sending a layer failed: ${failure.reason}`, {
    cause: failure,
    place: { ...failure.place, layer: source.diffId },
  });
}

function hashedLayer(from: Repository, diffId: string, signal: AbortSignal): HashedLayer {
  return new HashedLayer(from, layerStream(from, diffId), diffId, signal);
}

/** Gives up when a server neither reads nor answers. */
class Patience implements Disposable {
  readonly #abort = new AbortController();
  readonly #limit: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param limit milliseconds */
  constructor(limit: number) {
    this.#limit = limit;
    this.#wait();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The same; each piece that is taken shows that the server lives. */
  async *watch<T>(pieces: AsyncIterable<T>): AsyncGenerator<T, void, void> {
    for await (const piece of pieces) {
      this.#wait();
      yield piece;
    }
    this.#wait();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#abort.abort(new BridgeError('RPC_TIMEOUT', `the server did nothing for ${this.#limit} ms`)),
      this.#limit,
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}
