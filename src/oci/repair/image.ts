import { BridgeError } from '../../errors.js';
import { erofsVersions } from '../../repository/meta.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { refsInOrder } from '../../repository/object-graph/object-graph.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { configContentId, configRefName, isLayerRef, manifestContentId } from '../../repository/names.js';
import { putJsonStream } from '../image/json-stream.js';
import { isContainerImage, parseConfig, parseManifest, type Manifest } from '../../spec/manifest.js';
import { publish } from '../pull/publish.js';
import { ImageRebuild } from '../image/rebuild-image.js';
import { imageRefName, imageRefs, sealOf } from '../image/refs.js';
import type { JsonFinder } from './find-json.js';
import type { Health } from './health.js';
import type { LayerRepair } from './layers.js';
import type { Loss } from './loss.js';

type Refs = ReadonlyMap<string, ObjectId>;

const REBUILT = 'a rebuild from the layers';
const REWRITTEN = 'what it refers to';

/** What makes one image whole. */
export class ImageRepair {
  readonly #repository: Repository;
  readonly #health: Health;
  readonly #json: JsonFinder;
  readonly #layers: LayerRepair;
  readonly #signal: AbortSignal;
  readonly #found = new Set<ObjectId>();
  readonly #current = new Set<ObjectId>();

  constructor(repository: Repository, health: Health, json: JsonFinder, layers: LayerRepair, signal: AbortSignal) {
    this.#repository = repository;
    this.#health = health;
    this.#json = json;
    this.#layers = layers;
    this.#signal = signal;
  }

  /** Images that another program made, of damaged layers for example, and that others took the place of. */
  get superseded(): ObjectId[] {
    return [...this.#found].filter((id) => !this.#current.has(id));
  }

  /**
   * Restores what of an image is missing or damaged, from the bottom up: JSON, layers, EROFS images, and last the
   * streams and names that lead to them. Streams that are right stay; others come out the same where that is possible,
   * and whatever refers to them is written anew where not.
   * @param digest of its manifest
   * @returns what could not be restored
   */
  async repair(digest: string): Promise<readonly Loss[]> {
    this.#signal.throwIfAborted();
    const name = manifestContentId(digest);
    const stream = this.#repository.streamObject(name);
    const refs = this.#refsOf(stream, CONTENT_TYPES.manifest);
    const bytes = await this.#json.find(digest, refs && stream, CONTENT_TYPES.manifest);
    if (bytes === undefined) return [{ part: 'manifest', digest }];
    const manifest = parseManifest(bytes);
    const config = await this.#config(manifest, refs);
    if (config.stream === undefined) return config.losses;

    const wanted = new Map<string, ObjectId>([
      ...(refs ?? [[configRefName(manifest.config.digest), config.stream]]),
      ...config.layers,
    ]);
    wanted.set(configRefName(manifest.config.digest), config.stream);
    const written = await this.#write(stream, refs, wanted, CONTENT_TYPES.manifest, bytes);
    await this.#repository.linkStreams([
      [configContentId(manifest.config.digest), config.stream],
      [name, written],
    ]);
    await publish(this.#repository, manifest, digest, undefined);
    return config.losses;
  }

  /** Restores what a manifest's config leads to. `stream` is undefined when that was not possible. */
  async #config(
    manifest: Manifest,
    manifestRefs: Refs | undefined,
  ): Promise<{ stream: ObjectId | undefined; layers: Refs; losses: readonly Loss[] }> {
    const { digest } = manifest.config;
    const candidates = [
      manifestRefs?.get(configRefName(digest)),
      this.#repository.streamObject(configContentId(digest)),
    ];
    const stream = candidates.find((id) => this.#refsOf(id, CONTENT_TYPES.config) !== undefined);
    const refs = this.#refsOf(stream, CONTENT_TYPES.config);
    const bytes = await this.#json.find(digest, stream, CONTENT_TYPES.config);
    const isImage = isContainerImage(manifest, bytes);
    const config = bytes === undefined || !isImage ? undefined : parseConfig(bytes);
    const digests = isImage
      ? (config?.rootfs.diff_ids ?? [...(refs?.keys() ?? [])].filter(isLayerRef))
      : manifest.layers.map((layer) => layer.digest);

    const losses: Loss[] = bytes === undefined ? [{ part: 'config', digest }] : [];
    const layers = new Map<string, ObjectId>();
    for (const layer of new Set(digests)) {
      const state = await this.#layers.repair(layer, [refs?.get(layer), manifestRefs?.get(layer)]);
      if (state.loss !== undefined) losses.push(state.loss);
      const known = state.stream ?? refs?.get(layer) ?? manifestRefs?.get(layer);
      if (known !== undefined) layers.set(layer, known);
    }
    const complete = layers.size === new Set(digests).size;
    if (bytes === undefined || (refs === undefined && !complete)) return { stream, layers, losses };

    const images =
      config === undefined
        ? new Map<string, ObjectId>()
        : await this.#images(
            new ImageRebuild(this.#repository, layers, config, this.#signal),
            refs,
            sealOf(config),
            losses,
          );
    // cfsctl gives an artifact's config no references.
    const wanted = new Map([...(refs ?? []), ...(isImage || refs?.size !== 0 ? layers : []), ...images]);
    return { stream: await this.#write(stream, refs, wanted, CONTENT_TYPES.config, bytes), layers, losses };
  }

  /**
   * Rebuilds EROFS images that are missing, damaged, or not what the layers give.
   * @param sealed the image that has to stay what it is
   */
  async #images(
    rebuild: ImageRebuild,
    refs: Refs | undefined,
    sealed: string | undefined,
    losses: Loss[],
  ): Promise<Map<string, ObjectId>> {
    const expected = refs && imageRefs(refs).size > 0 ? imageRefs(refs) : this.#usualImages();
    const images = new Map<string, ObjectId>();
    for (const [name, id] of expected) {
      const kept = id !== undefined && this.#health.isRight(id) ? id : undefined;
      const made = await this.#rebuild(rebuild, name, id, losses, kept !== undefined);
      if (made !== undefined && (kept === undefined || kept !== sealed)) images.set(name, made);
      else if (kept !== undefined) images.set(name, kept);
      const image = images.get(name);
      if (kept !== undefined) this.#found.add(kept);
      if (image === undefined) continue;
      this.#current.add(image);
      await this.#repository.linkImage(image);
    }
    return images;
  }

  /** The images a pull makes, of which nothing is known yet. */
  #usualImages(): Map<string, ObjectId | undefined> {
    return new Map(
      erofsVersions(this.#repository.meta).map((version) => [
        imageRefName({ version, boot: false, keepUserXattrs: false }),
        undefined,
      ]),
    );
  }

  async #rebuild(
    rebuild: ImageRebuild,
    name: string,
    expected: ObjectId | undefined,
    losses: Loss[],
    isThere: boolean,
  ): Promise<ObjectId | undefined> {
    try {
      const made = await rebuild.make(name, expected);
      if (made === undefined) {
        if (!isThere) losses.push({ part: 'unknown-image', name, image: expected });
        return undefined;
      }
      if (!this.#health.isRight(made.id)) {
        await this.#repository.objects.put(made.bytes);
        this.#health.setRight(made.id, REBUILT);
      }
      return made.id;
    } catch (error) {
      if (!(error instanceof BridgeError) || error.code === 'ENOSPC') throw error;
      if (!isThere) losses.push({ part: 'image', name, reason: error.message });
      return undefined;
    }
  }

  /** Keeps a stream that is right and says what it should, and writes another otherwise. */
  async #write(
    stream: ObjectId | undefined,
    refs: Refs | undefined,
    wanted: Refs,
    contentType: bigint,
    bytes: Buffer,
  ): Promise<ObjectId> {
    const same =
      refs !== undefined && refs.size === wanted.size && [...wanted].every(([name, id]) => refs.get(name) === id);
    // Storing the JSON restores its object, should that be what was wrong.
    const json = await this.#repository.objects.put(bytes);
    this.#health.setRight(json, REWRITTEN);
    if (same && stream !== undefined) return stream;
    const written = await putJsonStream(this.#repository, contentType, bytes, wanted);
    this.#health.setRight(written, REWRITTEN);
    return written;
  }

  /** The references of a stream of this type that is right, in the order it has them in. */
  #refsOf(stream: ObjectId | undefined, contentType: bigint): Refs | undefined {
    if (stream === undefined || !this.#health.isRight(stream)) return undefined;
    try {
      using reader = this.#repository.openStream(stream);
      if (reader.contentType !== contentType) return undefined;
      return new Map(refsInOrder(reader));
    } catch (error) {
      if (error instanceof BridgeError) return undefined;
      throw error;
    }
  }
}
