import { showBytes, type ByteString } from '../../bytes.js';
import { debug } from '../../debug.js';
import { readErofs } from '../../erofs/read/reader.js';
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import { readSmallFile } from '../../fd/read-file.js';
import { verityDigest } from '../../fsverity/digest.js';
import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import { parseConfig } from '../../spec/manifest.js';
import type { Directory, Node, Regular } from '../../tree/tree.js';
import { erofsImage, openConfig, type StoredConfig } from '../image/image.js';
import { imageTree } from '../image/tree.js';

/** The image that a delta changes: its files, found by name. */
export class DeltaBase {
  readonly #repository: Repository;
  readonly #config: string;
  readonly #signal: AbortSignal;
  #root: Promise<Directory> | undefined;

  /** @param config digest of its config; whether and under which tags it is here does not matter before it is used */
  constructor(repository: Repository, config: string, signal: AbortSignal) {
    this.#repository = repository;
    this.#config = config;
    this.#signal = signal;
  }

  /** @throws BridgeError `DELTA_BASE` when it is not in the repository */
  async check(): Promise<void> {
    await this.#open();
  }

  /** Its files, read once. @throws as `check`; NotFoundError, FormatError for an image that is damaged */
  async root(): Promise<Directory> {
    // Layers are made at the same time.
    this.#root ??= this.#read();
    return await this.#root;
  }

  async #open(): Promise<StoredConfig> {
    try {
      return await openConfig(this.#repository, this.#config);
    } catch (cause) {
      if (!(cause instanceof NotFoundError)) throw cause;
      throw new BridgeError(
        'DELTA_BASE',
        `the delta changes an image with config ${this.#config}, which is not in the repository; pull that one, or ` +
          'the new image itself',
        { cause },
      );
    }
  }

  async #read(): Promise<Directory> {
    const config = await this.#open();
    const image = erofsImage(this.#repository, config);
    try {
      if (image !== undefined) return this.#readImage(image);
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      debug(() => `delta: the image of ${this.#config} cannot be used: ${error.message}`);
    }
    debug(() => `delta: the files of ${this.#config} come from its layers`);
    return imageTree(this.#repository, config, parseConfig(config.bytes), {
      xattrs: 'allowlist-only',
      signal: this.#signal,
    });
  }

  #readImage(id: string): Directory {
    using file = this.#repository.objects.open(id);
    const bytes = readSmallFile(file, EROFS_IMAGE_LIMIT);
    if (verityDigest(bytes, this.#repository.algorithm).toString('hex') !== id)
      throw new FormatError('OBJECT_DAMAGED', `object ${id} is damaged`);
    return readErofs(bytes).root;
  }
}

/**
 * A regular file by its path from the root. No symlink is followed, and `.` and `..` are names that no file has.
 * @throws FormatError `TAR_DIFF` when there is none
 */
export function findFile(root: Directory, path: ByteString): Regular {
  let node: Node | undefined = root;
  let depth = 0;
  for (const name of path.split('/')) {
    if (name === '') continue;
    node = node?.kind === 'directory' ? node.entries.get(name) : undefined;
    depth++;
  }
  if (node?.kind === 'regular' && depth > 0) return node;
  throw new FormatError(
    'TAR_DIFF',
    `the image that is changed has no file "${showBytes(path)}"${node === undefined ? '' : `, but a ${node.kind}`}`,
  );
}
