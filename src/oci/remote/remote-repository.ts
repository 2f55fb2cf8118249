import { BridgeError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd-passing.js';
import type { LayerStream } from '../../layer/stream.js';
import { VarlinkInterface } from '../../rpc/varlink/interface.js';
import { checkDigest } from '../manifest.js';
import { SILENCE_LIMIT } from '../source/silence.js';
import { RemoteStore, type RemoteStoreOptions } from './remote-store.js';
import type { FinalizeImageReply, LayerRef, PutLayerReply } from './transfer-methods.js';

/** How long to wait for a server to close a repository, in milliseconds. */
const CLOSING_LIMIT = 2000;
const REPOSITORY = 'org.composefs.Repository';
const OCI = 'org.composefs.Oci';

const repositoryInterface = VarlinkInterface.fromProto(`${REPOSITORY}.varlink`);
const methods = {
  OpenRepository: repositoryInterface.method<{ path: string }, { handle: number }>('OpenRepository'),
  CloseRepository: repositoryInterface.method<{ handle: number }, object>('CloseRepository'),
  Inspect: VarlinkInterface.fromProto(`${OCI}.varlink`).method<{ handle: number; image: string }, { manifest: string; config: string }>('Inspect'),
};

/** A repository that another program has open for us. */
export class RemoteRepository implements AsyncDisposable {
  readonly store: RemoteStore;
  readonly #handle: number;

  /** `store` becomes this object's, and is closed with it. */
  private constructor(store: RemoteStore, handle: number) {
    this.store = store;
    this.#handle = handle;
  }

  /** Whether a server has repositories at all. */
  static isServedBy(store: RemoteStore): boolean {
    return store.interfaces.includes(REPOSITORY);
  }

  /**
   * @param store is closed with the repository, or when this fails
   * @param path as the server sees it
   * @throws VarlinkRemoteError when the server cannot open it
   */
  static async open(store: RemoteStore, path: string): Promise<RemoteRepository> {
    try {
      const { handle } = await store.call(methods.OpenRepository, { path });
      return new RemoteRepository(store, handle);
    } catch (error) {
      store.close();
      throw error;
    }
  }

  /**
   * The same, behind a socket.
   * @param socket path of the socket
   * @throws as `RemoteStore.connect`; BridgeError `WHICH_REPOSITORY` when the server has none
   */
  static async connect(socket: string, path: string, { signal, silenceLimit = SILENCE_LIMIT }: Partial<RemoteStoreOptions> = {}): Promise<RemoteRepository> {
    const store = await RemoteStore.connect(socket, { signal, silenceLimit });
    if (store !== undefined && RemoteRepository.isServedBy(store)) return await RemoteRepository.open(store, path);
    store?.close();
    throw new BridgeError('WHICH_REPOSITORY', `the server behind ${socket} has no repositories to choose from`);
  }

  /**
   * The exact bytes of an image's manifest and config.
   * @param image a tag, or `@` and the digest of a manifest
   * @throws VarlinkRemoteError; BridgeError `NO_DOCUMENTS`; DigestMismatchError when the server gives another manifest
   */
  async documents(image: string): Promise<{ manifest: Buffer; config: Buffer }> {
    if (!this.store.interfaces.includes(OCI)) throw new BridgeError('NO_DOCUMENTS', `the server does not have ${OCI}, which gives the manifest and config of an image`);
    const reply = await this.store.call(methods.Inspect, { handle: this.#handle, image });
    const manifest = Buffer.from(reply.manifest);
    if (image.startsWith('@')) checkDigest('manifest', image.slice(1), manifest);
    return { manifest, config: Buffer.from(reply.config) };
  }

  /** @throws as `RemoteStore.layer` */
  async layer(diffId: string, signal: AbortSignal): Promise<LayerStream> {
    return await this.store.layer(this.#handle, { diff_id: diffId }, signal);
  }

  /** The fs-verity digest of the stream of a layer, or undefined when the repository does not have it. */
  async storedLayer(diffId: string): Promise<string | undefined> {
    const { present, layer_verity: verity } = await this.store.call(this.store.methods.HasLayer, { handle: this.#handle, diff_id: diffId });
    return present ? (verity ?? undefined) : undefined;
  }

  /**
   * Stores a layer, which may take any time.
   * @param fds what the stream is read from, then the folders with the files it names; borrowed until the reply
   * @param zeroCopy have content shared, or an error
   * @throws VarlinkRemoteError
   */
  async putLayer(diffId: string, zeroCopy: boolean, fds: readonly Fd[], signal: AbortSignal): Promise<PutLayerReply> {
    return await this.store.call(this.store.methods.PutLayer, { handle: this.#handle, diff_id: diffId, zerocopy: zeroCopy }, { fds, signal, silenceLimit: undefined });
  }

  /**
   * Makes an image of stored layers.
   * @throws FormatError `NOT_TEXT` for documents that JSON cannot carry; VarlinkRemoteError
   */
  async finalizeImage({ manifest, config }: { manifest: Buffer; config: Buffer }, layers: LayerRef[], name: string | undefined): Promise<FinalizeImageReply> {
    const parameters = { handle: this.#handle, manifest_json: textOf(manifest), config_json: textOf(config), layers, ...(name !== undefined && { name }) };
    return await this.store.call(this.store.methods.FinalizeImage, parameters);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The server closes it with the connection where that is broken already; nothing is lost when it does not answer.
    const silenceLimit = Math.min(this.store.silenceLimit, CLOSING_LIMIT);
    await this.store.call(methods.CloseRepository, { handle: this.#handle }, { silenceLimit }).catch(() => undefined);
    this.store.close();
  }
}

function textOf(document: Buffer): string {
  const text = document.toString('utf8');
  if (Buffer.from(text).equals(document)) return text;
  throw new FormatError('NOT_TEXT', 'the manifest or config is not UTF-8, and cannot be sent as it is');
}
