import { showBytes, type ByteString } from '../../bytes.js';
import { BridgeError, FormatError } from '../../errors.js';
import { readAt } from '../../fd/read-file.js';
import { DIGEST_SIZE } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import {
  contentSize,
  NO_XATTRS,
  TYPE_BITS,
  type Directory,
  type Leaf,
  type Regular,
  type Xattrs,
} from '../../tree/tree.js';
import { fileChecksum } from '../file-checksum.js';
import { variantOf } from '../gvariant/encode.js';
import { sha256, type Checksum } from '../object/checksum.js';
import { encodeCommit } from '../object/commit.js';
import { encodeDirMeta } from '../object/dirmeta.js';
import { encodeDirTree, type DirTree } from '../object/dirtree.js';
import { encodeHeader, encodeSizedHeader, type FileHeader } from '../object/file-header.js';
import { CommitStreamBuilder } from '../stream/commit-stream-builder.js';
import type { CommitChunk } from '../stream/format.js';

/** What a new commit says of itself. */
export interface CommitDescription {
  readonly subject: string;
  /** seconds since 1970; default: now */
  readonly timestamp: bigint | undefined;
  /** the ref that it is made for, which its metadata names */
  readonly ref: string | undefined;
}

/**
 * Makes the objects of a commit from a file tree whose content is in the repository.
 * @throws FormatError for what ostree cannot have: devices, fifos and sockets, names that are not UTF-8
 */
export async function makeCommit(
  repository: Repository,
  root: Directory,
  description: CommitDescription,
  signal?: AbortSignal,
): Promise<{ id: Checksum; chunk: CommitChunk }> {
  const maker = new CommitMaker(repository, signal);
  const { tree, meta } = await maker.folder(root, '');
  const { subject, timestamp = BigInt(Math.floor(Date.now() / 1000)), ref } = description;
  const id = maker.add(
    encodeCommit({
      metadata: ref === undefined ? [] : [['ostree.ref-binding', variantOf('as', [ref])]],
      parent: undefined,
      subject,
      body: '',
      timestamp,
      tree,
      meta,
    }),
  );
  return { id, chunk: maker.builder.finish(id) };
}

class CommitMaker {
  readonly builder: CommitStreamBuilder;
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #leaves = new Map<Leaf, Checksum>();

  constructor(repository: Repository, signal: AbortSignal | undefined) {
    this.builder = new CommitStreamBuilder(repository.algorithm);
    this.#repository = repository;
    this.#signal = signal;
  }

  add(bytes: Buffer): Checksum {
    const id = sha256(bytes);
    this.builder.add(id, bytes);
    return id;
  }

  async folder(directory: Directory, path: ByteString): Promise<{ tree: Checksum; meta: Checksum }> {
    const files: DirTree['files'][number][] = [];
    const folders: DirTree['folders'][number][] = [];
    for (const [name, node] of directory.entries) {
      const below = `${path}/${name}`;
      if (node.kind === 'directory') folders.push({ name, ...(await this.folder(node, below)) });
      else files.push({ name, id: await this.#leaf(node, below) });
    }
    const { uid, gid, mode } = directory;
    const meta = this.add(
      encodeDirMeta({ uid, gid, mode: mode | TYPE_BITS.directory, xattrs: withOneNul(directory.xattrs) }),
    );
    return { tree: this.add(encodeDirTree({ files, folders })), meta };
  }

  async #leaf(leaf: Leaf, path: ByteString): Promise<Checksum> {
    this.#signal?.throwIfAborted();
    const known = this.#leaves.get(leaf);
    if (known !== undefined) return known;
    const id = await this.#file(leaf, path);
    this.#leaves.set(leaf, id);
    return id;
  }

  async #file(leaf: Leaf, path: ByteString): Promise<Checksum> {
    if (leaf.kind !== 'regular' && leaf.kind !== 'symlink')
      throw new FormatError('OSTREE_OBJECT', `ostree cannot have a ${leaf.kind}`, {
        place: { entry: showBytes(path) },
      });
    const { uid, gid, mode, xattrs } = leaf;
    const header: FileHeader = {
      uid,
      gid,
      mode: mode | TYPE_BITS[leaf.kind],
      target: leaf.kind === 'symlink' ? leaf.target : '',
      xattrs: withOneNul(xattrs),
    };
    if (leaf.kind === 'symlink') return this.#inline(header, Buffer.alloc(0));
    return await this.#regular(header, leaf, path);
  }

  async #regular(header: FileHeader, { content }: Regular, path: ByteString): Promise<Checksum> {
    const { objects, algorithm } = this.#repository;
    if (content.kind === 'empty') return this.#inline(header, Buffer.alloc(0));
    if (content.kind === 'external')
      throw new BridgeError('OBJECT_MISSING', `the content of "${showBytes(path)}" is in no object of a repository`);
    const size = contentSize(content);
    const isSmall = size <= 2 * DIGEST_SIZE[algorithm];
    if (content.kind === 'inline' && isSmall) return this.#inline(header, content.bytes);
    const object = content.kind === 'inline' ? await objects.put(content.bytes) : content.id;
    using file = objects.open(object);
    if (BigInt(file.stat().size) !== size)
      throw new FormatError('CONTENT_SIZE', `object ${object} has ${file.stat().size} bytes instead of ${size}`);
    if (isSmall) return this.#inline(header, readAt(file, 0, Number(size)));
    const id = await fileChecksum(this.#repository, header, file);
    this.builder.add(id, encodeSizedHeader(header, size), object);
    return id;
  }

  #inline(header: FileHeader, content: Buffer): Checksum {
    const id = sha256(Buffer.concat([encodeHeader(header), content]));
    this.builder.add(id, Buffer.concat([encodeSizedHeader(header, BigInt(content.length)), content]));
    return id;
  }
}

/** As ostree has the names; those of images that were made of commits have it already. */
function withOneNul(xattrs: Xattrs): Xattrs {
  if (xattrs.size === 0) return NO_XATTRS;
  return new Map([...xattrs].map(([name, value]) => [`${name.replace(/\0$/, '')}\0`, value]));
}
