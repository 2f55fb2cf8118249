// The sockets of protocol 0.2.9, through which layers come without their content: of images that the client has opened
// on its connection, which the policy has let in, and of no others.
import { realpathSync } from 'node:fs';
import { fromFd, socketpair, type Connection, type Fd, type PeerCredentials } from '../../fd/fd-passing.js';
import { NotFoundError } from '../../errors.js';
import { discoverStore } from '../../storage/discover.js';
import { parseImageReference } from '../../storage/reference.js';
import { Store } from '../../storage/store.js';
import type { Platform } from '../../spec/platform.js';
import type { StoredImage } from '../../storage/image.js';
import type { LayerToSend } from '../lend.js';
import type { ServedImage, ServedImages } from '../served-images.js';
import { serveJsonRpc } from '../serve.js';
import { Shares } from '../shares.js';
import { StoreImages } from '../store-images.js';
import { serveStoreLayers } from '../varlink/store-service.js';
import { ProxyFault } from './proxy-fault.js';
import type { ProxyImage } from './proxy-image.js';

const TRANSPORT = 'containers-storage:';

/** The client's end, and our serving the other. */
export interface LayerSocket {
  fd: Fd;
  served: Promise<void>;
}

/**
 * Varlink as a store speaks it.
 * @param wanted one image; or a store, `""` or as in `[overlay@/graph]`, of which the images are that the client opens
 * @throws ProxyFault for an image that is in no store
 */
export async function varlinkSocket(
  wanted: ProxyImage | string,
  opened: () => readonly ProxyImage[],
  signal: AbortSignal,
): Promise<LayerSocket> {
  const place = typeof wanted === 'string' ? storePlace(wanted) : placeOf(wanted);
  const store = Store.open(place);
  try {
    const image = typeof wanted === 'string' ? undefined : await storedImage(store, wanted, signal);
    const found = new OpenedImages(store, opened, signal);
    const only = async (): Promise<readonly StoredImage[]> => (image === undefined ? found.images() : [image]);
    return serve(store, (connection) => serveStoreLayers(connection, { store, image, only }, signal));
  } catch (error) {
    store[Symbol.dispose]();
    throw error;
  }
}

/** JSON-RPC, for the store of the first image from one. */
export async function jsonRpcSocket(opened: () => readonly ProxyImage[], signal: AbortSignal): Promise<LayerSocket> {
  const first = opened().find(({ reference }) => reference.startsWith(TRANSPORT));
  if (first === undefined) throw new ProxyFault('splitfdstream store not configured');
  const store = Store.open(placeOf(first));
  return serve(store, async (connection) => {
    const share = new Shares().connection(connection.peer.uid);
    using _ = share;
    const found = new OpenedImages(store, opened, signal);
    await serveJsonRpc(new ConfinedImages(store, found, connection.peer, signal), connection, share, signal);
  });
}

function serve(store: Store, run: (connection: Connection) => Promise<void>): LayerSocket {
  try {
    const [theirs, ours] = socketpair();
    const connection = fromFd(ours);
    const served = run(connection).finally(() => {
      connection.close();
      store[Symbol.dispose]();
    });
    return { fd: theirs, served };
  } catch (error) {
    store[Symbol.dispose]();
    throw error;
  }
}

function placeOf({ reference }: ProxyImage): ReturnType<typeof discoverStore> {
  if (!reference.startsWith(TRANSPORT))
    throw new ProxyFault(`"${reference}" is not in a containers-storage, and has no layers to lend`);
  return discoverStore(parseImageReference(reference).store);
}

function storePlace(text: string): ReturnType<typeof discoverStore> {
  if (text === '') return discoverStore();
  // Some image has to be named, and none is looked for.
  return discoverStore(parseImageReference(`${text.startsWith('[') ? text : `[${text}]`}image`).store);
}

/** The image that a reference still means, if it is the one that was opened. */
async function storedImage(store: Store, image: ProxyImage, signal: AbortSignal): Promise<StoredImage> {
  const { digest, reference, platform } = image;
  const found = await store.image(reference, { signal, platform });
  if (found.manifestDigest === digest) return found;
  throw new ProxyFault(`"${reference}" is another image by now`);
}

/** Those of a store that the client has opened, also after its socket, and not closed. */
class OpenedImages {
  readonly #store: Store;
  readonly #opened: () => readonly ProxyImage[];
  readonly #signal: AbortSignal;

  constructor(store: Store, opened: () => readonly ProxyImage[], signal: AbortSignal) {
    this.#store = store;
    this.#opened = opened;
    this.#signal = signal;
  }

  async images(): Promise<readonly StoredImage[]> {
    const images: StoredImage[] = [];
    for (const image of this.#opened()) {
      if (!image.reference.startsWith(TRANSPORT) || !isSameStore(placeOf(image).graphroot, this.#store.graphroot))
        continue;
      const found = await storedImage(this.#store, image, this.#signal).catch(() => undefined);
      if (found !== undefined) images.push(found);
    }
    return images;
  }
}

function isSameStore(one: string, other: string): boolean {
  try {
    return realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}

/** A store's images, as far as the client has opened them. */
class ConfinedImages implements ServedImages {
  readonly #store: Store;
  readonly #all: StoreImages;
  readonly #opened: OpenedImages;
  readonly #signal: AbortSignal;

  constructor(store: Store, opened: OpenedImages, peer: PeerCredentials, signal: AbortSignal) {
    this.#store = store;
    this.#all = new StoreImages(store, peer, signal);
    this.#opened = opened;
    this.#signal = signal;
  }

  async list(): Promise<{ id: string; names: string[]; digest: string }[]> {
    const ids = await this.#ids();
    return (await this.#all.list()).filter(({ id }) => ids.has(id));
  }

  async image(reference: string, platform: Platform | undefined): Promise<ServedImage> {
    const ids = await this.#ids();
    const { id } = await this.#store.image(reference, { platform, signal: this.#signal });
    if (!ids.has(id)) throw new NotFoundError(`"${reference}" was not opened on this connection`);
    return this.#all.image(reference, platform);
  }

  async layer(id: string, parentId: string | undefined): Promise<() => Promise<LayerToSend>> {
    for (const image of await this.#opened.images()) {
      const layers = await this.#store.layers(image, { signal: this.#signal });
      if (layers.some((layer) => layer.id === id)) return this.#all.layer(id, parentId);
    }
    throw new NotFoundError('no such layer in the images that were opened on this connection', {
      place: { layer: id },
    });
  }

  async #ids(): Promise<ReadonlySet<string>> {
    return new Set((await this.#opened.images()).map(({ id }) => id));
  }
}
