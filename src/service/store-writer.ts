import { FormatError } from '../errors.js';
import { fromFd } from '../fd/fd-passing.js';
import { readWhole } from '../fd/read-whole.js';
import { receivedLayer } from '../layer/socket-layer.js';
import { IMAGE_DOCUMENTS_LIMIT } from '../limits.js';
import { imageDocuments, storeWriterMethods as methods } from '../rpc/contracts/store-writer.js';
import type { JsonRpcConnection } from '../rpc/jsonrpc/connection.js';
import { implement, type Handler, type RequestContext } from '../rpc/jsonrpc/method.js';
import { RpcProtocolError } from '../rpc/rpc-error.js';
import { typedHandlers } from '../rpc/typed-error.js';
import { openStoreForWriting } from '../storage/write/open.js';
import type { ImageToPut } from '../storage/write/put-image.js';
import type { WritableStore } from '../storage/write/writable-store.js';

/**
 * Writes into a store what the other end of a connection says, one thing after the other, until it closes its end. The
 * other end is a process of ours, and of the same user.
 * @param signal ends what is under way, and with it the connection
 * @throws RpcProtocolError or SocketError when the connection breaks; the signal's reason
 */
export async function serveStoreWriter(rpc: JsonRpcConnection, signal: AbortSignal): Promise<void> {
  await using service = new StoreWriterService(signal);
  await rpc.serve(typedHandlers(service.handlers), signal);
}

class StoreWriterService implements AsyncDisposable {
  readonly #signal: AbortSignal;
  #store: WritableStore | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get handlers(): [string, Handler][] {
    const signal = this.#signal;
    return [
      implement(methods.Open, async ({ store, ...options }) => {
        await this.#store?.close();
        this.#store = await openStoreForWriting({ ...store, ...options, signal });
        return { result: {} };
      }),
      implement(methods.FindLayer, async ({ timeout, ...key }) => ({
        result: { id: await this.#opened.findLayer(key, { timeout, signal }) },
      })),
      implement(methods.PutLayer, async (params, { fds: [socket] }) => {
        if (socket === undefined) throw new RpcProtocolError('INVALID_FD_COUNT', 'a layer comes over a socket');
        const layer = receivedLayer(fromFd(socket));
        return { result: await this.#opened.putLayer(layer, { ...params, signal }) };
      }),
      implement(methods.PutImage, async ({ timeout, ...image }, context) => {
        return { result: await this.#opened.putImage({ ...image, ...documentsOf(context) }, { timeout, signal }) };
      }),
      implement(methods.RemoveNames, async ({ names, timeout }) => ({
        result: { ids: await this.#opened.removeNames(names, { timeout, signal }) },
      })),
      implement(methods.RemoveImage, async ({ id, timeout }) => ({
        result: { layers: await this.#opened.removeImage(id, { timeout, signal }) },
      })),
    ];
  }

  get #opened(): WritableStore {
    if (this.#store === undefined) throw new RpcProtocolError('INVALID_MESSAGE', 'no store was opened');
    return this.#store;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store?.close();
  }
}

/** @throws RpcProtocolError; FormatError `BAD_JSON` */
function documentsOf({ fds: [file] }: RequestContext): Omit<ImageToPut, 'names'> {
  if (file === undefined) throw new RpcProtocolError('INVALID_FD_COUNT', 'an image comes with a file');
  const text = readWhole(`/proc/self/fd/${file.number}`, IMAGE_DOCUMENTS_LIMIT).toString('latin1');
  const { success, data } = imageDocuments.safeParse(JSON.parse(text));
  if (!success) throw new FormatError('BAD_JSON', 'the documents of an image are not what they should be');
  const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64');
  return {
    manifest: bytesOf(data.manifest),
    config: bytesOf(data.config),
    listManifest: data.listManifest === undefined ? undefined : bytesOf(data.listManifest),
    signatures: data.signatures?.map(bytesOf),
    listSignatures: data.listSignatures?.map(bytesOf),
  };
}
