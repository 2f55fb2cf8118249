import { Fd, fromFd, socketpair } from '../fd/fd-passing.js';
import { writeAll } from '../fd/write-all.js';
import { sendLayer, untilReleased } from '../layer/socket-layer.js';
import type { LayerStream } from '../layer/stream.js';
import { files } from '../native.js';
import { storeWriterMethods as methods, type imageDocuments } from '../rpc/contracts/store-writer.js';
import type { StoredImage } from '../storage/image.js';
import type { LockWait } from '../storage/lock.js';
import { Store, type StoreOptions } from '../storage/store.js';
import type { OpenForWritingOptions } from '../storage/write/open.js';
import type { ImageToPut, PutImageResult } from '../storage/write/put-image.js';
import type { PutLayerOptions, PutLayerResult } from '../storage/write/put-layer.js';
import type { LayerKey, WritableStore } from '../storage/write/writable-store.js';
import { InsideConnection, isEndOfPeer } from './inside-connection.js';
import { withoutLinks } from './task.js';
import type * as z from 'zod';

/**
 * An ordinary user's store, opened for writing: a process in the user's namespace writes, as files have owners of
 * there. Layers come to it as names below folders, open files, and bytes.
 */
export class RootlessStore implements WritableStore {
  readonly reader: Store;
  readonly #inside: InsideConnection;

  private constructor(inside: InsideConnection, reader: Store) {
    this.#inside = inside;
    this.reader = reader;
  }

  /** @throws BridgeError `USER_NAMESPACE`; what `openStoreForWriting` throws for root; the signal's reason */
  static async open({ signal, create = true, timeout, ...options }: OpenForWritingOptions): Promise<RootlessStore> {
    const store = storeParams(options);
    const inside = await InsideConnection.start({ write: true }, { signal });
    try {
      await inside.call(methods.Open, { store, create, timeout }, { signal });
      return new RootlessStore(inside, Store.open({ graphroot: store.graphroot, driver: 'overlay' }));
    } catch (error) {
      await inside[Symbol.asyncDispose]();
      throw error;
    }
  }

  get graphroot(): string {
    return this.reader.graphroot;
  }

  async images(wait: LockWait = {}): Promise<StoredImage[]> {
    return await this.reader.images(wait);
  }

  async findLayer({ parent, diffId }: LayerKey, { timeout, signal }: LockWait = {}): Promise<string | undefined> {
    return (await this.#inside.call(methods.FindLayer, { parent, diffId, timeout }, { signal })).id;
  }

  async putLayer(stream: LayerStream, options: PutLayerOptions): Promise<PutLayerResult> {
    const { parent, diffId, compressed, zeroCopy = false, timeout, signal, onProgress } = options;
    await using layer = stream;
    const [ours, theirs] = socketpair();
    using theirEnd = theirs;
    using sending = fromFd(ours);
    const params = { parent, diffId, compressed, zeroCopy, timeout };
    const put = this.#inside.call(methods.PutLayer, params, { fds: [theirEnd], signal }).finally(() => sending.close());
    const sent = sendLayer(layer, sending, { signal, onProgress })
      .then(() => untilReleased(sending, { signal }))
      // Its lock must not be held while the other process waits for one.
      .then(() => layer[Symbol.asyncDispose]())
      .finally(() => sending.close());
    const [written, read] = await Promise.allSettled([put, sent]);
    signal?.throwIfAborted();
    // It may not have wanted all of the layer; and that it is cut short when reading fails is no news.
    if (read.status === 'rejected' && !isEndOfPeer(read.reason)) throw read.reason;
    if (written.status === 'rejected') throw written.reason;
    const { id, reused, extracted } = written.value;
    return { id, reused, extracted };
  }

  async putImage(image: ImageToPut, { timeout, signal }: LockWait = {}): Promise<PutImageResult> {
    const { topLayer, names, namesHistory } = image;
    using file = await documentsFile(image);
    const params = { topLayer, names: [...names], namesHistory: namesHistory && [...namesHistory], timeout };
    return await this.#inside.call(methods.PutImage, params, { fds: [file], signal });
  }

  async removeNames(names: readonly string[], { timeout, signal }: LockWait = {}): Promise<string[]> {
    return (await this.#inside.call(methods.RemoveNames, { names: [...names], timeout }, { signal })).ids;
  }

  async removeImage(id: string, { timeout, signal }: LockWait = {}): Promise<string[] | undefined> {
    return (await this.#inside.call(methods.RemoveImage, { id, timeout }, { signal })).layers;
  }

  async close(): Promise<void> {
    this.reader.close();
    await this.#inside[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function storeParams({
  graphroot,
  driver,
  imagestore,
  additionalStores,
  writing,
}: StoreOptions): z.input<typeof methods.Open.params>['store'] {
  return {
    graphroot: withoutLinks(graphroot),
    driver,
    imagestore,
    additionalStores: additionalStores && [...additionalStores],
    writing: writing && {
      ...writing,
      driverOptions: writing.driverOptions && [...writing.driverOptions],
      otherOptions: writing.otherOptions && [...writing.otherOptions],
    },
  };
}

async function documentsFile(image: ImageToPut): Promise<Fd> {
  const base64 = (bytes: Buffer): string => bytes.toString('base64');
  const documents: z.input<typeof imageDocuments> = {
    manifest: base64(image.manifest),
    config: base64(image.config),
    listManifest: image.listManifest && base64(image.listManifest),
    signatures: image.signatures?.map(base64),
    listSignatures: image.listSignatures?.map(base64),
  };
  using file = new Fd(files.memfd('image'));
  await writeAll(file, Buffer.from(JSON.stringify(documents)), 0);
  return file.move();
}
