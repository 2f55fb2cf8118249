import * as z from 'zod';
import { bytesOf, type ByteString } from '../bytes.js';
import { debug } from '../debug.js';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError } from '../errors.js';
import type { Fd, OpenDir } from '../fd/fd.js';
import type { NamedChunk } from '../layer/stream.js';
import { hostPlatform, type Platform } from '../spec/platform.js';
import { CHUNKED_TABLE_LIMIT } from '../limits.js';
import { CHUNKED_MANIFEST_KEY, flatNames } from './flat-names.js';
import { StoredImage } from './image.js';
import { TarSplitStream } from './layer-stream.js';
import type { LockWait, StoreLock } from './lock.js';
import { findImage } from './lookup.js';
import { parseJson, type StoreFolder } from './read-file.js';
import { LayerLinks } from './layer-links.js';
import { digestSchema, OddRecord, type LayerRecord } from './records.js';
import { parseImageReference } from './reference.js';
import { StoreRoot, type Driver } from './root.js';
import { TarSplitParser, type ContentOf } from './tar-split.js';

/** Where a store is; paths are text, as people write them. */
export interface StoreOptions {
  /** absolute path */
  graphroot: string;
  /** told from the directories when left out */
  driver?: Driver | undefined;
  /** separate root for images and their layers */
  imagestore?: string | undefined;
  /** roots that are only read, searched in this order after the first */
  additionalStores?: readonly string[] | undefined;
  /**
   * another way to open the directories that hold layers; a clone of the mount can be given here, so that links out of
   * it work
   */
  openDir?: OpenDir | undefined;
  /** what matters to those who write into it only */
  writing?: StoreSettings | undefined;
}

/** How the programs that keep a store write into it, as storage.conf or a reference say. */
export interface StoreSettings {
  /** absolute path of what does not outlive a restart */
  runroot?: string | undefined;
  /** of the driver: `overlay.force_mask=0700` */
  driverOptions?: readonly string[] | undefined;
  /** keys of `[storage.options]` that programs take differently, or have given up, and that are set */
  otherOptions?: readonly string[] | undefined;
  /** layers of containers are not kept */
  transient?: boolean | undefined;
}

/** What the store's index says of a layer. */
export interface StoredLayer {
  readonly id: string;
  readonly parent: string | undefined;
  /** sha256:… of the tar as the store or the image's config claims it; unknown for some lazily pulled layers */
  readonly diffId: string | undefined;
  /** length of the tar in bytes when the store knows it */
  readonly size: number | undefined;
}

export interface ImageOptions extends LockWait {
  /** which image of a manifest list to take; default: the one this program runs on */
  platform?: Platform | undefined;
}

export interface LayerStreamOptions extends LockWait {
  /**
   * `lock` keeps the layer from being removed until the stream is disposed, and delays other programs' pulls and
   * commits as long; `descriptors` does not: a removal in between shows as a file that is not there.
   */
  lease?: 'lock' | 'descriptors';
}

const configSchema = z.object({ rootfs: z.object({ diff_ids: z.array(digestSchema).nullish() }).nullish() });

/** A containers-storage, opened for reading. Nothing in it is ever changed. */
export class Store implements Disposable {
  readonly #roots: readonly StoreRoot[];

  private constructor(
    roots: readonly StoreRoot[],
    /** its folder, as it was given */
    readonly graphroot: string,
  ) {
    this.#roots = roots;
  }

  /**
   * Opens a store at known places; `discoverStore` tells them as podman would.
   * @throws NotFoundError; BridgeError `UNKNOWN_DRIVER`, `NO_PERMISSION`, `FOREIGN_SYMLINK`
   * @example
   * ```ts
   * import { discoverStore, Store } from 'composefs-bridge';
   *
   * using store = Store.open(discoverStore());
   * const image = await store.image('docker.io/library/debian:12');
   * for (const layer of await store.layers(image)) {
   *   await using stream = await store.layerStream(layer);
   *   let chunks = 0;
   *   for await (const batch of stream) chunks += batch.length;
   *   console.log(layer.diffId, chunks > 0); // sha256:… true
   * }
   * ```
   */
  static open(options: StoreOptions): Store {
    const roots: StoreRoot[] = [];
    try {
      const paths = [options.imagestore, options.graphroot, ...(options.additionalStores ?? [])].filter(
        (path) => path !== undefined,
      );
      for (const path of paths) {
        const driver = options.driver ?? roots[0]?.driver;
        const root = StoreRoot.open(bytesOf(path), driver, options.openDir);
        debug(
          () =>
            `store: ${path}: ` +
            (root
              ? `opened, driver ${root.driver}${root.trusted ? '' : ', others may write to it'}`
              : `no store of the driver ${driver ?? 'overlay or vfs'} is there`),
        );
        if (root) roots.push(root);
      }
      if (roots.length === 0)
        throw new NotFoundError(`${options.graphroot} is not a containers-storage of the ${options.driver} driver`);
      return new Store(roots, options.graphroot);
    } catch (error) {
      for (const root of roots) root[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether nobody but root and the caller can write to what it is made of. */
  get trusted(): boolean {
    return this.#roots.every(({ trusted }) => trusted);
  }

  /** The driver of the first root. */
  get driver(): Driver {
    return this.#roots[0]!.driver;
  }

  /** All images; of those with one ID in several roots only the first. */
  async images(wait: LockWait = {}): Promise<StoredImage[]> {
    const found = new Map<string, StoredImage>();
    for (const root of this.#roots) {
      for (const record of await root.images(wait)) {
        if (found.has(record.id)) continue;
        found.set(
          record.id,
          record instanceof OddRecord
            ? new StoredImage(root, { id: record.id, names: [...record.names] }, { problem: record.problem })
            : new StoredImage(root, record),
        );
      }
    }
    return [...found.values()];
  }

  /**
   * The image a reference names: ID, unique beginning of one, name, digest, `name@digest`, each also with the
   * prefix `containers-storage:`. A store written in the reference is the caller's to open.
   * @throws FormatError `BAD_REFERENCE`; NotFoundError; BridgeError `PLATFORM` when a manifest list has none for the
   *   platform
   */
  async image(reference: string, options: ImageOptions = {}): Promise<StoredImage> {
    const { platform = hostPlatform(), ...wait } = options;
    return findImage(await this.images(wait), parseImageReference(reference), platform);
  }

  /** A complete layer by its exact ID. @throws NotFoundError */
  async layer(id: string, wait: LockWait = {}): Promise<StoredLayer> {
    for (const root of this.#roots) {
      const record = (await root.layers(wait)).get(id);
      if (record) return describe(usable(record));
    }
    throw new NotFoundError('no such layer in the store', { place: { layer: id } });
  }

  /**
   * The layers of an image, base first, each with the diff_id of the config.
   * @throws NotFoundError when a layer is missing or incomplete; DigestMismatchError, FormatError `LAYER_CHAIN` when
   *   the
   * store's chain is not the config's
   */
  async layers(image: StoredImage, wait: LockWait = {}): Promise<StoredLayer[]> {
    const chain: StoredLayer[] = [];
    const seen = new Set<string>();
    for (let id = image.topLayer; id !== undefined; id = chain[0]?.parent) {
      if (seen.has(id))
        throw new FormatError('LAYER_CHAIN', `the layers of image ${image.id} form a loop`, { place: { layer: id } });
      seen.add(id);
      chain.unshift(await this.layer(id, wait));
    }
    const { rootfs } = parseJson(image.config(), configSchema, `config of image ${image.id}`);
    const diffIds = rootfs?.diff_ids ?? [];
    if (diffIds.length !== chain.length) {
      throw new FormatError(
        'LAYER_CHAIN',
        `image ${image.id} has ${chain.length} layers in the store, its config lists ${diffIds.length}`,
      );
    }
    return chain.map((layer, index) => {
      const diffId = diffIds[index]!;
      if (layer.diffId !== undefined && layer.diffId !== diffId) {
        throw new DigestMismatchError(`layer ${index + 1} of image ${image.id}`, diffId, layer.diffId, {
          place: { layer: layer.id },
        });
      }
      return { ...layer, diffId };
    });
  }

  /**
   * The byte-exact tar of a layer. Its chunks name files below the layer's directory, or are open files in a store of a
   * stranger.
   * @throws NotFoundError; BridgeError `NO_TAR_SPLIT`, `STORE_BUSY`, `FOREIGN_FILE`; FormatError, also while it is read
   */
  async layerStream(layer: Pick<StoredLayer, 'id'>, options: LayerStreamOptions = {}): Promise<TarSplitStream> {
    for (const root of this.#roots) {
      const lock = await root.lockLayers(options);
      try {
        const found = root.layersUnder(lock).get(layer.id);
        if (found) {
          const record = usable(found);
          if (options.lease !== 'descriptors') return this.#openLayer(root, record, [lock], options.signal);
          const stream = this.#openLayer(root, record, [], options.signal);
          lock[Symbol.dispose]();
          return stream;
        }
      } catch (error) {
        lock[Symbol.dispose]();
        throw error;
      }
      lock[Symbol.dispose]();
    }
    throw new NotFoundError('no such layer in the store', { place: { layer: layer.id } });
  }

  #openLayer(
    root: StoreRoot,
    record: LayerRecord,
    locks: readonly StoreLock[],
    signal: AbortSignal | undefined,
  ): TarSplitStream {
    const { id } = record;
    using recipe = root.openRecipe(id);
    if (!recipe) {
      throw new BridgeError(
        'NO_TAR_SPLIT',
        'the store has no tar-split data, so the exact tar cannot be rebuilt: the layer belongs to a container ' +
          'that was not committed, or was not made from a tar',
        { place: { layer: id } },
      );
    }
    const { dir, owner } = this.#openTree(root, id);
    const { size } = describe(record);
    try {
      const parser = root.isFlat(id)
        ? new TarSplitParser(id, flatContent(root, id, dir), size)
        : unpackedContent(root, id, dir, size);
      return new TarSplitStream(id, recipe.move(), parser, { dir, owner }, locks, signal);
    } catch (error) {
      dir.close();
      throw error;
    }
  }

  /** With a separate image store, the files may lie in the other root than the index. */
  #openTree(root: StoreRoot, layer: string): StoreFolder {
    let missing: unknown;
    for (const candidate of [root, ...this.#roots.filter((other) => other !== root)]) {
      try {
        return candidate.openTree(layer);
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
        missing ??= error;
      }
    }
    throw missing;
  }

  /** Lets go of the store. May be called again. */
  close(): void {
    for (const root of this.#roots) root[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function usable(record: LayerRecord | OddRecord): LayerRecord {
  if (record instanceof OddRecord) throw record.problem;
  return record;
}

/** The files lie where unpacking the tar has put them. */
function unpackedContent(root: StoreRoot, layer: string, dir: Fd, expectedLength: number | undefined): TarSplitParser {
  const links = new LayerLinks(layer, root.driver === 'vfs' ? dir : undefined);
  const contentOf = (name: ByteString, size: number): NamedChunk => ({
    kind: 'named',
    dir,
    name: links.resolve(name),
    size,
  });
  return new TarSplitParser(layer, contentOf, expectedLength, (bytes, from, to, offset) =>
    links.headers(bytes, from, to, offset),
  );
}

function flatContent(root: StoreRoot, layer: string, dir: Fd): ContentOf {
  const table = root.layerData(layer, CHUNKED_MANIFEST_KEY, CHUNKED_TABLE_LIMIT);
  if (!table) {
    throw new BridgeError('NO_NAMES', 'the layer is stored for composefs, but its table of contents is missing', {
      place: { layer },
    });
  }
  const paths = flatNames(table, layer);
  return (entry, size) => {
    const name = paths.get(entry);
    if (name === undefined)
      throw new FormatError('UNKNOWN_FILE', 'the table of contents has no such file', { place: { layer, entry } });
    return { kind: 'named', dir, name, size };
  };
}

function describe(record: LayerRecord): StoredLayer {
  const size = record['diff-size'] ?? -1;
  const claimed = digestSchema.safeParse(record.flags?.['expected-layer-diffid']);
  return {
    id: record.id,
    parent: record.parent || undefined,
    diffId: record['diff-digest'] || claimed.data,
    // The size of layers pulled by their table of contents is not always that of the tar.
    size: size >= 0 && !record['toc-digest'] ? size : undefined,
  };
}
