// Splitstreams and EROFS images hold digests of other objects, so in a repository of the other algorithm they are other
// files.
import { BridgeError, FormatError } from '../../errors.js';
import { readErofs } from '../../erofs/read/reader.js';
import { writeErofs } from '../../erofs/write/writer.js';
import type { Fd } from '../../fd/fd.js';
import { verityDigestOfFd } from '../../fsverity/digest.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import { Regular, type Content, type Directory } from '../../tree/tree.js';
import { pathOfObject } from '../names.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../repository.js';
import { kindOf, readImage, refsInOrder } from '../object-graph/object-graph.js';
import { CONTENT_TYPES } from '../splitstream/format.js';
import { SplitstreamReader } from '../splitstream/reader.js';
import { SplitstreamWriter } from '../splitstream/writer.js';
import { storeImage } from '../store-image.js';
import { checkDigest, ContentTranslation, type ContentStats } from './translate-content.js';

/** Translates streams and images, with everything they lead to, into a repository of the other algorithm. */
export class Translation {
  readonly #from: Repository;
  readonly #to: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #contents: ContentTranslation;
  /** Streams and images. */
  readonly #known = new Map<ObjectId, ObjectId>();
  /** Streams whose references are being followed: one that comes again refers to itself. */
  readonly #open = new Set<ObjectId>();

  /** @param onProgress is told how many files are done */
  constructor(from: Repository, to: Repository, signal?: AbortSignal, onProgress?: (objects: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#signal = signal;
    this.#contents = new ContentTranslation(from, to, onProgress);
  }

  get contents(): ContentStats {
    return this.#contents.stats;
  }

  /** The new object of a stream or image, if it was translated. */
  find(id: ObjectId): ObjectId | undefined {
    return this.#known.get(id);
  }

  /**
   * Translates what a name or reference leads to.
   * @throws NotFoundError, DigestMismatchError, FormatError; BridgeError `FOREIGN_IMAGE` for an image that this program
   *   would write otherwise
   */
  async translate(id: ObjectId): Promise<ObjectId> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    if (this.#open.has(id)) throw new FormatError('SPLITSTREAM_REFS', `splitstream ${id} refers to itself`);
    this.#open.add(id);
    this.#signal?.throwIfAborted();
    const made = await this.#translateFile(id);
    this.#open.delete(id);
    this.#known.set(id, made);
    return made;
  }

  async #translateFile(id: ObjectId): Promise<ObjectId> {
    using file = this.#from.objects.open(id);
    checkDigest(id, (await verityDigestOfFd(file, this.#from.algorithm, { signal: this.#signal })).toString('hex'));
    const kind = kindOf(file);
    if (kind === 'stream') return await this.#stream(file);
    if (kind === 'image') return await this.#image(file, id);
    throw new FormatError('OBJECT_KIND', `${pathOfObject(id)} has a name of a stream or image and is neither`);
  }

  async #stream(file: Fd): Promise<ObjectId> {
    using reader = SplitstreamReader.open(file.duplicate(), this.#from.algorithm);
    const writer = new SplitstreamWriter(reader.contentType, this.#to.algorithm);
    for (const [name, ref] of refsInOrder(reader)) writer.addNamedRef(name, await this.translate(ref));

    const objects = [...objectsOf(reader)];
    await this.#contents.translate(objects, this.#signal);
    if (reader.contentType === CONTENT_TYPES.ostreeCommit) return await this.#commit(reader, objects, writer);
    for await (const pieces of reader.batches(this.#signal)) {
      for (const piece of pieces) {
        if (piece.kind === 'inline') {
          writer.inline(piece.bytes);
        } else {
          const { id, size } = this.#contents.get(piece.id);
          writer.external(id, size);
        }
      }
    }
    return await this.#to.objects.put(await writer.finish());
  }

  /**
   * The stream of an ostree commit names objects by their place in its table, and nowhere else. Its one chunk is not
   * cut.
   */
  async #commit(reader: SplitstreamReader, objects: readonly ObjectId[], writer: SplitstreamWriter): Promise<ObjectId> {
    if (new Set(objects).size < objects.length)
      throw new FormatError('OSTREE_STREAM', 'a commit stream has an object twice in its table');
    if (reader.streamSize > OSTREE_CHUNK_LIMIT)
      throw new FormatError(
        'OSTREE_STREAM',
        `a commit stream of ${reader.streamSize} bytes, at most ${OSTREE_CHUNK_LIMIT} are read`,
      );
    for (const id of objects) writer.refer(Buffer.from(this.#contents.get(id).id, 'hex'));
    const parts: Buffer[] = [];
    for await (const pieces of reader.batches(this.#signal))
      for (const piece of pieces) {
        if (piece.kind === 'object')
          throw new FormatError('OSTREE_STREAM', 'a commit stream has an object in its middle');
        parts.push(Buffer.from(piece.bytes));
      }
    await writer.chunk(parts);
    return await this.#to.objects.put(await writer.finish());
  }

  async #image(file: Fd, id: ObjectId): Promise<ObjectId> {
    const bytes = readImage(file);
    const { version, root } = readErofs(bytes);
    const writer = (['composefs-rs', 'composefs'] as const).find(
      (known) =>
        (known === 'composefs-rs' || version !== 2) &&
        writeErofs(root, { version, algorithm: this.#from.algorithm, writer: known }).equals(bytes),
    );
    if (writer === undefined)
      throw new BridgeError(
        'FOREIGN_IMAGE',
        `image ${id} was not written as composefs writes images, so nobody knows how it would look with other ` +
          'digests; remove it, or import it anew afterwards',
      );
    const regulars = [...regularFiles(root)];
    await this.#contents.translate(
      regulars.flatMap(({ file }) => (file.content.kind === 'object' ? [file.content.id] : [])),
      this.#signal,
    );
    const made = new Map<Regular, Regular>();
    for (const { directory, name, file: old } of regulars) {
      const content = this.#content(old.content, id);
      const copy = made.get(old) ?? Object.assign(new Regular(old, content), { nlink: old.nlink, owner: old.owner });
      made.set(old, copy);
      directory.entries.set(name, copy);
    }
    return storeImage(this.#to.objects, root, { version, writer });
  }

  #content(content: Content, image: ObjectId): Content {
    if (content.kind === 'object') return { ...content, id: this.#contents.get(content.id).id };
    if (content.kind !== 'external' || (content.payload === undefined && content.digest === undefined)) return content;
    throw new BridgeError(
      'FOREIGN_IMAGE',
      `image ${image} refers to files in a way that does not say which object they are`,
    );
  }
}

function* objectsOf(reader: SplitstreamReader): Generator<ObjectId> {
  for (let index = 0; index < reader.objects.length; index++) yield reader.objects.at(index);
}

function* regularFiles(root: Directory): Generator<{ directory: Directory; name: string; file: Regular }> {
  const pending = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const [name, node] of directory.entries) {
      if (node.kind === 'directory') pending.push(node);
      else if (node.kind === 'regular') yield { directory, name, file: node };
    }
  }
}
