// EROFS images made anew from the streams of an image's layers: what a stored one must be, and what replaces a lost one.
import { writeErofs } from '../erofs/writer.js';
import { verityDigest } from '../fsverity/digest.js';
import { erofsVersions, type ErofsVersion } from '../repository/meta.js';
import type { ObjectId } from '../repository/object-id.js';
import type { Repository } from '../repository/repository.js';
import type { XattrMode } from '../tree/oci-transform.js';
import type { Directory } from '../tree/tree.js';
import { imageRefName } from './image-refs.js';
import { imageTree } from './image-tree.js';
import type { ImageConfig } from './manifest.js';

export interface RebuiltImage {
  id: ObjectId;
  bytes: Buffer;
}

const MODES: readonly XattrMode[] = ['allowlist-only', 'keep-user-xattrs'];

/** Makes the EROFS images of one container image. Only the layers' streams are read, not the files they refer to. */
export class ImageRebuild {
  readonly #repository: Repository;
  readonly #layers: ReadonlyMap<string, ObjectId>;
  readonly #config: ImageConfig;
  readonly #signal: AbortSignal | undefined;
  readonly #trees = new Map<XattrMode, Directory>();

  /** @param layers streams by diff_id, all that the config lists */
  constructor(repository: Repository, layers: ReadonlyMap<string, ObjectId>, config: ImageConfig, signal?: AbortSignal) {
    this.#repository = repository;
    this.#layers = layers;
    this.#config = config;
    this.#signal = signal;
  }

  /**
   * The image that a reference of the config's stream stands for. Two formats share a name, and images of either way to treat
   * `user.*` xattrs do: that one is made which has the expected digest, or else what a pull would make.
   * @param name see `imageRefName`
   * @returns undefined for an image for booting, which takes more than the layers
   * @throws NotFoundError, FormatError for layers that cannot be read
   */
  async make(name: string, expected: ObjectId | undefined): Promise<RebuiltImage | undefined> {
    let first: RebuiltImage | undefined;
    for (const mode of MODES) {
      for (const version of this.#versions(name)) {
        const bytes = writeErofs(await this.#tree(mode), { version, algorithm: this.#repository.algorithm });
        const made = { id: verityDigest(bytes, this.#repository.algorithm).toString('hex'), bytes };
        if (expected === undefined || made.id === expected) return made;
        first ??= made;
      }
    }
    return first;
  }

  /** Formats whose plain image has this name, the repository's own first. */
  #versions(name: string): ErofsVersion[] {
    const all = [...new Set<ErofsVersion>([...erofsVersions(this.#repository.meta), 1, 0, 2])];
    return all.filter((version) => imageRefName({ version, boot: false, keepUserXattrs: false }) === name);
  }

  async #tree(xattrs: XattrMode): Promise<Directory> {
    const known = this.#trees.get(xattrs);
    if (known !== undefined) return known;
    const tree = await imageTree(this.#repository, { namedRefs: this.#layers }, this.#config, { xattrs, ...(this.#signal && { signal: this.#signal }) });
    this.#trees.set(xattrs, tree);
    return tree;
  }
}
