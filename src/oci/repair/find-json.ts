// Manifests and configs by their digests, wherever they can still be found.
import { createHash } from 'node:crypto';
import { BridgeError } from '../../errors.js';
import { DOCUMENT_LIMIT } from '../../limits.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { readAt, readSmallFile } from '../../fd/read-file.js';
import type { Repository } from '../../repository/repository.js';
import { readJsonStream } from '../image/json-stream.js';
import { digestLike } from '../../spec/manifest.js';
import { pathOfObject } from '../../repository/names.js';
import type { Health } from './health.js';
import type { RepairSource } from './sources.js';

const OPENING_BRACE = 0x7b;
/** Other work gets its turn after so many objects. */
const OBJECTS_PER_TURN = 500;

export class JsonFinder {
  readonly #repository: Repository;
  readonly #health: Health;
  readonly #sources: readonly RepairSource[];
  readonly #signal: AbortSignal | undefined;
  #strays: Map<string, ObjectId> | undefined;

  constructor(
    repository: Repository,
    health: Health,
    sources: readonly RepairSource[],
    signal: AbortSignal | undefined,
  ) {
    this.#repository = repository;
    this.#health = health;
    this.#sources = sources;
    this.#signal = signal;
  }

  /**
   * Finds the bytes with this digest: in the stream that should have them, at a source, or in an object that lost its
   * stream.
   * @param stream whose own object is right
   * @returns undefined when nobody has them
   */
  async find(digest: string, stream: ObjectId | undefined, contentType: bigint): Promise<Buffer | undefined> {
    return (
      (await this.#inStream(digest, stream, contentType)) ??
      (await this.#atSource(digest)) ??
      (await this.#astray(digest))
    );
  }

  async #inStream(digest: string, stream: ObjectId | undefined, contentType: bigint): Promise<Buffer | undefined> {
    if (stream === undefined) return undefined;
    try {
      const { bytes } = await readJsonStream(this.#repository, stream, contentType);
      return digestLike(digest, bytes) === digest ? bytes : undefined;
    } catch (error) {
      if (error instanceof BridgeError) return undefined;
      throw error;
    }
  }

  async #atSource(digest: string): Promise<Buffer | undefined> {
    for (const { name, images } of this.#sources) {
      for (const bytes of images.flatMap(({ manifest, config }) => [manifest, config])) {
        if (digestLike(digest, bytes) !== digest) continue;
        this.#health.setRight(await this.#repository.objects.put(bytes), name);
        return bytes;
      }
    }
    return undefined;
  }

  async #astray(digest: string): Promise<Buffer | undefined> {
    this.#strays ??= await this.#listStrays();
    const id = this.#strays.get(digest);
    if (id === undefined) return undefined;
    using file = this.#repository.objects.open(id);
    const bytes = readSmallFile(file, DOCUMENT_LIMIT);
    return digestLike(digest, bytes) === digest ? bytes : undefined;
  }

  /** All right objects that look like JSON, by their SHA-256. */
  async #listStrays(): Promise<Map<string, ObjectId>> {
    const strays = new Map<string, ObjectId>();
    let count = 0;
    for (const id of this.#health.rightObjects()) {
      if (count++ % OBJECTS_PER_TURN === 0) {
        this.#signal?.throwIfAborted();
        await new Promise(setImmediate);
      }
      const bytes = this.#readJson(id);
      if (bytes !== undefined) strays.set(`sha256:${createHash('sha256').update(bytes).digest('hex')}`, id);
    }
    return strays;
  }

  #readJson(id: ObjectId): Buffer | undefined {
    try {
      using file = this.#repository.objects.open(id);
      const { size } = file.stat();
      if (size === 0 || size > DOCUMENT_LIMIT || readAt(file, 0, 1)[0] !== OPENING_BRACE) return undefined;
      return readSmallFile(file, DOCUMENT_LIMIT);
    } catch (cause) {
      if (cause instanceof BridgeError) return undefined;
      throw new BridgeError('OBJECT_UNREADABLE', `${pathOfObject(id)} cannot be read`, { cause });
    }
  }
}
