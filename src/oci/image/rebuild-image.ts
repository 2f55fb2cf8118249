// EROFS images made anew from the streams of an image's layers: what a stored one must be, and what replaces a lost
// one.
import { transformForBoot } from '../../boot/transform.js';
import { writeErofs } from '../../erofs/write/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { likelyVersions } from '../../repository/meta.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { readContent } from '../../repository/read-content.js';
import type { Repository } from '../../repository/repository.js';
import type { MarkOrder } from '../../tree/oci-layers.js';
import type { XattrMode } from '../../tree/oci-transform.js';
import type { Directory } from '../../tree/tree.js';
import { imageRefName } from './refs.js';
import { imageTree } from './tree.js';
import type { ImageConfig } from '../../spec/manifest.js';

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
  readonly #trees = new Map<string, Directory>();
  #hasLateMarks = false;

  /** @param layers streams by diff_id, all that the config lists */
  constructor(
    repository: Repository,
    layers: ReadonlyMap<string, ObjectId>,
    config: ImageConfig,
    signal?: AbortSignal,
  ) {
    this.#repository = repository;
    this.#layers = layers;
    this.#config = config;
    this.#signal = signal;
  }

  /**
   * The image that a reference of the config's stream stands for. Two formats share a name, and images of either way to
   * treat `user.*` xattrs and late marks do: that one is made which has the expected digest, or else what a pull would
   * make.
   * @param name see `imageRefName`
   * @returns undefined for a name that stands for no image
   * @throws NotFoundError, FormatError for layers that cannot be read; for boot images also what `transformForBoot`
   *   throws
   */
  async make(name: string, expected: ObjectId | undefined): Promise<RebuiltImage | undefined> {
    let first: RebuiltImage | undefined;
    for (const marks of ['spec', 'cfsctl'] as const) {
      if (marks === 'cfsctl' && !this.#hasLateMarks) break;
      for (const mode of MODES) {
        for (const { version, boot } of this.#kinds(name, mode)) {
          const made = await this.makeOf(version, boot, mode, marks);
          if (expected === undefined || made.id === expected) return made;
          first ??= made;
        }
      }
    }
    return first;
  }

  /** Whether cfsctl 0.9.4 makes other images of these layers, see `LayerTree`; known once one was made. */
  get hasLateMarks(): boolean {
    return this.#hasLateMarks;
  }

  /** @throws as `make` */
  async makeOf(
    version: ErofsVersion,
    boot: boolean,
    mode: XattrMode,
    marks: MarkOrder = 'spec',
  ): Promise<RebuiltImage> {
    const { algorithm } = this.#repository;
    const bytes = writeErofs(await this.#tree(mode, boot, marks), { version, algorithm });
    return { id: verityDigest(bytes, algorithm).toString('hex'), bytes };
  }

  /** Kinds of images of this name, the repository's own format first. Plain images of either mode have the same. */
  #kinds(name: string, mode: XattrMode): { version: ErofsVersion; boot: boolean }[] {
    const kinds = likelyVersions(this.#repository.meta).flatMap((version) => [
      { version, boot: false },
      { version, boot: true },
    ]);
    return kinds.filter((kind) => imageRefName({ ...kind, keepUserXattrs: mode === 'keep-user-xattrs' }) === name);
  }

  async #tree(xattrs: XattrMode, boot: boolean, marks: MarkOrder): Promise<Directory> {
    const key = `${xattrs} ${boot} ${marks}`;
    const known = this.#trees.get(key);
    if (known !== undefined) return known;
    const onLateMark = (): void => void (this.#hasLateMarks = true);
    const tree = await imageTree(this.#repository, { namedRefs: this.#layers }, this.#config, {
      xattrs,
      marks,
      signal: this.#signal,
      onLateMark,
    });
    if (boot) transformForBoot(tree, (file) => readContent(this.#repository.objects, file));
    this.#trees.set(key, tree);
    return tree;
  }
}
