import type { Abortable } from '../../abortable.js';
import { BridgeError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd-passing.js';
import type { LayerStream } from '../../layer/stream.js';
import { ociInterface, ociMethods } from '../../rpc/contracts/oci.js';
import { repositoryInterface, repositoryMethods } from '../../rpc/contracts/repository.js';
import { checkDigest } from '../../spec/manifest.js';
import { SILENCE_LIMIT } from '../source/silence.js';
import { LayerServer, type LayerServerOptions } from './layer-server.js';
import type { FinalizeImageReply, LayerRef, PutLayerReply } from '../../rpc/contracts/oci-transfer.js';

/** How long to wait for a server to close a repository, in milliseconds. */
const CLOSING_LIMIT = 2000;

/** A repository that another program has open for us. */
export class RemoteRepository implements AsyncDisposable {
  /** @internal */
  readonly server: LayerServer;
  readonly #handle: number;

  /** `server` becomes this object's, and is closed with it. */
  private constructor(server: LayerServer, handle: number) {
    this.server = server;
    this.#handle = handle;
  }

  /** @internal Whether a server has repositories at all. */
  static isServedBy(server: LayerServer): boolean {
    return server.interfaces.includes(repositoryInterface.name);
  }

  /**
   * @internal
   * @param server is closed with the repository, or when this fails
   * @param path as the server sees it
   * @throws VarlinkRemoteError when the server cannot open it
   */
  static async open(server: LayerServer, path: string): Promise<RemoteRepository> {
    try {
      const { handle } = await server.call(repositoryMethods.OpenRepository, { path });
      return new RemoteRepository(server, handle);
    } catch (error) {
      server.close();
      throw error;
    }
  }

  /**
   * The same, behind a socket.
   * @param socket path of the socket
   * @throws as `LayerServer.connect`; BridgeError `WHICH_REPOSITORY` when the server has none
   * @example
   * ```ts
   * import { RemoteRepository } from 'composefs-bridge';
   *
   * await using repository = await RemoteRepository.connect('/run/repositories.sock', '/var/lib/images');
   * const { config } = await repository.documents('debian');
   * console.log(JSON.parse(config.toString()).os); // linux
   * ```
   */
  static async connect(
    socket: string,
    path: string,
    { signal, silenceLimit = SILENCE_LIMIT }: Partial<LayerServerOptions> = {},
  ): Promise<RemoteRepository> {
    const server = await LayerServer.connect(socket, { signal, silenceLimit });
    if (server !== undefined && RemoteRepository.isServedBy(server)) return await RemoteRepository.open(server, path);
    server?.close();
    throw new BridgeError('WHICH_REPOSITORY', `the server behind ${socket} has no repositories to choose from`);
  }

  /**
   * The exact bytes of an image's manifest and config.
   * @param image a tag, or `@` and the digest of a manifest
   * @throws VarlinkRemoteError; BridgeError `NO_DOCUMENTS`; DigestMismatchError when the server gives another manifest
   */
  async documents(image: string): Promise<{ manifest: Buffer; config: Buffer }> {
    if (!this.server.interfaces.includes(ociInterface.name))
      throw new BridgeError(
        'NO_DOCUMENTS',
        `the server does not have ${ociInterface.name}, which gives the manifest and config of an image`,
      );
    const reply = await this.server.call(ociMethods.Inspect, { handle: this.#handle, image });
    const manifest = Buffer.from(reply.manifest);
    if (image.startsWith('@')) checkDigest('manifest', image.slice(1), manifest);
    return { manifest, config: Buffer.from(reply.config) };
  }

  /** @throws as `LayerServer.layer` */
  async layer(diffId: string, { signal = new AbortController().signal }: Abortable = {}): Promise<LayerStream> {
    return await this.server.layer(this.#handle, { diff_id: diffId }, signal);
  }

  /** The fs-verity digest of the stream of a layer, or undefined when the repository does not have it. */
  async storedLayer(diffId: string): Promise<string | undefined> {
    const { present, layer_verity: verity } = await this.server.call(this.server.methods.HasLayer, {
      handle: this.#handle,
      diff_id: diffId,
    });
    return present ? (verity ?? undefined) : undefined;
  }

  /**
   * @internal
   * Stores a layer, which may take any time.
   * @param fds what the stream is read from, then the folders with the files it names; borrowed until the reply
   * @param zeroCopy have content shared, or an error
   * @throws VarlinkRemoteError
   */
  async putLayer(diffId: string, zeroCopy: boolean, fds: readonly Fd[], signal: AbortSignal): Promise<PutLayerReply> {
    return await this.server.call(
      this.server.methods.PutLayer,
      { handle: this.#handle, diff_id: diffId, zerocopy: zeroCopy },
      { fds, signal, silenceLimit: undefined },
    );
  }

  /**
   * @internal
   * Makes an image of stored layers.
   * @throws FormatError `NOT_TEXT` for documents that JSON cannot carry; VarlinkRemoteError
   */
  async finalizeImage(
    { manifest, config }: { manifest: Buffer; config: Buffer },
    layers: LayerRef[],
    name: string | undefined,
  ): Promise<FinalizeImageReply> {
    const parameters = {
      handle: this.#handle,
      manifest_json: textOf(manifest),
      config_json: textOf(config),
      layers,
      ...(name !== undefined && { name }),
    };
    return await this.server.call(this.server.methods.FinalizeImage, parameters);
  }

  /** Closes it there, and the connection. */
  async close(): Promise<void> {
    // The server closes it with the connection where that is broken already; nothing is lost when it does not answer.
    const silenceLimit = Math.min(this.server.silenceLimit, CLOSING_LIMIT);
    await this.server
      .call(repositoryMethods.CloseRepository, { handle: this.#handle }, { silenceLimit })
      .catch(() => undefined);
    this.server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function textOf(document: Buffer): string {
  const text = document.toString('utf8');
  if (Buffer.from(text).equals(document)) return text;
  throw new FormatError('NOT_TEXT', 'the manifest or config is not UTF-8, and cannot be sent as it is');
}
