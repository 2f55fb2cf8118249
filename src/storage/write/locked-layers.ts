import { debug } from '../../debug.js';
import { BridgeError, FormatError } from '../../errors.js';
import type { LockWait } from '../lock.js';
import { isHexId, OddRecord, type LayerRecord } from '../records.js';
import { removeIfThere } from './atomic-file.js';
import { findLayer, idOf, isUnfinished, parentOf, problemOf } from './find-layer.js';
import { isThere, type StoreFolders } from './folders.js';
import { IndexFile } from './index-file.js';
import { shortNameOf } from './layer-folder.js';
import { markUnfinished, randomId, readLayer, usualId } from './layer-record.js';
import type { RawRecord } from './raw-record.js';
import { unsupported } from './settings.js';
import { LAYERS_STAGING, StagingFolder, TREES_STAGING } from './staging-folder.js';
import { WriteLock } from './write-lock.js';

/**
 * The layers of a store, locked for writing: nobody else reads or changes them. What is removed disappears from the
 * store at once, and from the disk when this is disposed and the lock is released.
 */
export class LockedLayers implements AsyncDisposable {
  readonly #folders: StoreFolders;
  readonly #lock: WriteLock;
  /** The layers of images, and those of containers that do not outlive a restart. */
  readonly #indexes: readonly IndexFile[];
  #bins: { trees: StagingFolder; layers: StagingFolder } | undefined;

  private constructor(folders: StoreFolders, lock: WriteLock, indexes: readonly IndexFile[]) {
    this.#folders = folders;
    this.#lock = lock;
    this.#indexes = indexes;
  }

  /**
   * Takes the lock. Layers that somebody left unfinished are removed.
   * @throws BridgeError `STORE_BUSY`; FormatError `BAD_JSON`; the signal's reason; an error with `code` of the system
   */
  static async take(folders: StoreFolders, wait: LockWait): Promise<LockedLayers> {
    const lock = await WriteLock.take(folders.layers, 'layers.lock', wait);
    let layers: LockedLayers | undefined;
    try {
      const names = ['layers.json', 'volatile-layers.json'];
      const indexes = names.map((name) => IndexFile.read(folders.layers, name, lock));
      layers = new LockedLayers(folders, lock, indexes);
      // Others could be names of folders of the store itself, or lead out of it.
      const left = new Set(layers.#records.filter(isUnfinished).map(idOf).filter(isHexId));
      for (const id of left) debug(() => `store: layer ${id} was left unfinished, and is removed`);
      await layers.remove(left);
      return layers;
    } catch (error) {
      lock[Symbol.dispose]();
      await layers?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #records(): readonly RawRecord[] {
    return this.#indexes.flatMap(({ records }) => records);
  }

  /** As `findLayer`, which has the rule. */
  find(parent: string | undefined, diffId: string): string | undefined {
    return findLayer(this.#folders, this.#records, parent, diffId);
  }

  /**
   * Whether a layer can be put on this one.
   * @throws BridgeError `LAYER_GONE`, `STORE_UNSUPPORTED`; FormatError `BAD_JSON`
   */
  checkParent(id: string): void {
    const problem = problemOf(this.#layer(id));
    if (problem !== undefined)
      throw unsupported(this.#folders.graphroot, `layer ${id} ${problem}`, 'remove the images that use it');
  }

  /** An id for a new layer: the usual one, or any if another layer has it. */
  freeId(parent: string | undefined, diffId: string): string {
    let id = usualId(parent, diffId);
    while (this.#records.some((record) => idOf(record) === id)) id = randomId();
    return id;
  }

  /** The parents of all layers, by their ids. */
  get parents(): ReadonlyMap<string, string | undefined> {
    return new Map(this.#records.map((record) => [idOf(record), parentOf(record)]));
  }

  /** Adds the record of a new layer of an image. @throws an error with `code` of the system; it is not there then */
  async add(record: RawRecord): Promise<void> {
    const [index] = this.#indexes as [IndexFile];
    index.append(record);
    try {
      await index.save();
    } catch (error) {
      index.remove((candidate) => candidate === record);
      throw error;
    }
  }

  /** Writes the layers of images, whose records were changed. */
  async save(): Promise<void> {
    await this.#indexes[0]?.save();
  }

  /**
   * Takes layers out of the store. A process that dies meanwhile leaves them unfinished, for others to remove.
   * @throws an error with `code` of the system
   */
  async remove(ids: ReadonlySet<string>): Promise<void> {
    const isGone = (record: RawRecord): boolean => ids.has(idOf(record));
    const indexes = this.#indexes.filter(({ records }) => records.some(isGone));
    for (const index of indexes) {
      const finished = index.records.filter((record) => isGone(record) && !isUnfinished(record));
      finished.forEach(markUnfinished);
      if (finished.length > 0) await index.save();
    }
    for (const id of ids) this.clearPlace(id);
    for (const index of indexes) {
      index.remove(isGone);
      await index.save();
    }
  }

  /** Moves out of the way what lies where a layer has its files. @throws FormatError `BAD_JSON` */
  clearPlace(id: string): void {
    if (!isHexId(id))
      throw new FormatError('BAD_JSON', `files of a layer called ${JSON.stringify(id)} are not removed`);
    const { trees, links, layers } = this.#folders;
    const recipe = `${id}.tar-split.gz`;
    if (!isThere(trees, id) && !isThere(layers, recipe) && !isThere(layers, id)) return;
    this.#bins ??= {
      trees: StagingFolder.make(trees, TREES_STAGING),
      layers: StagingFolder.make(layers, LAYERS_STAGING),
    };
    const shortName = shortNameOf(trees, id);
    if (shortName !== undefined) removeIfThere({ dir: links, name: shortName });
    this.#bins.trees.adopt(trees, id);
    this.#bins.layers.adopt(layers, recipe);
    this.#bins.layers.adopt(layers, id);
  }

  #layer(id: string): LayerRecord {
    const record = this.#records.find((candidate) => idOf(candidate) === id);
    const layer = record && readLayer(record);
    if (layer === undefined)
      throw new BridgeError('LAYER_GONE', 'the layer is not in the store any more; write the image again', {
        place: { layer: id },
      });
    if (layer instanceof OddRecord) throw layer.problem;
    return layer;
  }

  /** Unlocks the layers, and removes from the disk what is not in the store any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#lock[Symbol.dispose]();
    const bins = this.#bins;
    this.#bins = undefined;
    await bins?.trees[Symbol.asyncDispose]();
    await bins?.layers[Symbol.asyncDispose]();
  }
}
