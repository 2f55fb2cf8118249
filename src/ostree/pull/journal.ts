// What has arrived of a commit, in a file beside the parts of blobs, so that a pull that was killed is continued by the
// next one. A garbage collection removes it, as it does them. Records, one after the other, the last perhaps cut:
//
//   u32 LE      length of what follows
//   32 bytes    id of the object
//   u8          length of the id of its content's object in the repository, 0 for none
//   n bytes     that id
//   the rest    what a commit stream has of it: metadata, or a sized header and maybe the content
//
// Nothing of it is believed: whatever comes from it is verified as if it came from the server.
import { constants, ftruncateSync, writeSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { bytesOf, type ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { readAt } from '../../fd/read-file.js';
import { GrowingBuffer } from '../../growing-buffer.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import { files } from '../../native.js';
import { PARTS } from '../../repository/names.js';
import { openPrivateFolder } from '../../repository/private-folder.js';
import type { Repository } from '../../repository/repository.js';
import { ID_SIZE, sha256, type Checksum } from '../object/checksum.js';
import { encodeHeader, parseSizedHeader } from '../object/file-header.js';
import type { ObjectSource, SourceFile } from './source.js';

const AT_REMOVEDIR = 0x200;
/** A kill loses one of so many objects at most. */
const SHARE = 64;
/** Bytes that are taken for what is not written yet. */
const PENDING = 64 << 10;

interface Entry {
  readonly at: number;
  readonly length: number;
  readonly object: ObjectId | undefined;
}

/** Disposing leaves it to the next pull. */
export class PullJournal implements Disposable {
  readonly #repository: Repository;
  readonly #folder: Fd;
  readonly #file: Fd;
  readonly #name: ByteString;
  readonly #entries = new Map<Checksum, Entry>();
  readonly #pending = new GrowingBuffer(PENDING);
  #noted = 0;
  #count = 0;
  #end = 0;

  /** @returns undefined where none can be kept: the folder is somebody else's, or another pull has it */
  static open(repository: Repository, commit: Checksum): PullJournal | undefined {
    const folder = openPrivateFolder(repository.root, PARTS);
    if (folder === undefined) return undefined;
    const name = bytesOf(`ostree-${commit}`);
    try {
      const file = openBeneath(folder, name, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o600);
      const { mode, nlink, size } = file.stat();
      const usable = (mode & constants.S_IFMT) === constants.S_IFREG && nlink === 1 && size <= OSTREE_CHUNK_LIMIT;
      if (usable && files.flock(file.number, 'exclusive')) return new PullJournal(repository, folder, file, name, size);
      file.close();
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ELOOP', 'EISDIR', 'EACCES', 'ENXIO', 'ENOSPC', 'EROFS')) throw error;
    }
    folder.close();
    return undefined;
  }

  private constructor(repository: Repository, folder: Fd, file: Fd, name: ByteString, size: number) {
    this.#repository = repository;
    this.#folder = folder;
    this.#file = file;
    this.#name = name;
    this.#read(size);
  }

  /** The same source, of which nothing is asked for that arrived before. */
  before(source: ObjectSource): ObjectSource {
    return {
      ...source,
      metadata: async (kind, id, signal) => {
        const bytes = this.#data(id);
        return bytes !== undefined && sha256(bytes) === id ? bytes : await source.metadata(kind, id, signal);
      },
      file: async (id, signal) => this.#stored(id) ?? (await source.file(id, signal)),
    };
  }

  /** Notes an object that was verified. */
  note(id: Checksum, data: Buffer, object: ObjectId | undefined): void {
    if (this.#entries.has(id)) return;
    const digest = (object ?? '').length / 2;
    const length = ID_SIZE + 1 + digest + data.length;
    const at = this.#pending.reserve(4 + length);
    const { bytes } = this.#pending;
    bytes.writeUInt32LE(length, at);
    bytes.write(id, at + 4, 'hex');
    bytes[at + 4 + ID_SIZE] = digest;
    if (object !== undefined) bytes.write(object, at + 4 + ID_SIZE + 1, 'hex');
    bytes.set(data, at + 4 + length - data.length);
    this.#count++;
    if (++this.#noted >= this.#count / SHARE) this.#flush();
  }

  /** Takes it away: the commit is there, or what is in the journal cannot be used. */
  remove(): void {
    this.#pending.take();
    files.unlinkat(this.#folder.number, this.#name, 0);
  }

  [Symbol.dispose](): void {
    this.#flush();
    this.#file.close();
    this.#folder.close();
    try {
      files.unlinkat(this.#repository.root.number, PARTS, AT_REMOVEDIR);
    } catch (error) {
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error;
    }
  }

  #read(size: number): void {
    while (this.#end + 4 + ID_SIZE + 1 <= size) {
      const head = readAt(this.#file, this.#end, 4 + ID_SIZE + 1);
      const length = head.readUInt32LE();
      const digest = head[4 + ID_SIZE]!;
      const next = this.#end + 4 + length;
      if (next > size || length < ID_SIZE + 1 + digest) break;
      const at = this.#end + head.length;
      this.#entries.set(head.toString('hex', 4, 4 + ID_SIZE), {
        at: at + digest,
        length: next - at - digest,
        object: digest === 0 ? undefined : readAt(this.#file, at, digest).toString('hex'),
      });
      this.#end = next;
    }
    if (this.#end < size) ftruncateSync(this.#file.number, this.#end);
    this.#count = this.#entries.size;
  }

  #data(id: Checksum): Buffer | undefined {
    const entry = this.#entries.get(id);
    return entry && readAt(this.#file, entry.at, entry.length);
  }

  /** A file that arrived before; undefined when it did not, or is not there any more. */
  #stored(id: Checksum): SourceFile | undefined {
    const data = this.#data(id);
    if (data === undefined) return undefined;
    try {
      const { header, size, length } = parseSizedHeader(data);
      const { object } = this.#entries.get(id)!;
      if (object !== undefined) {
        const fd = this.#repository.objects.open(object);
        if (BigInt(fd.stat().size) === size) return { header, size: Number(size), content: { kind: 'file', fd } };
        fd.close();
        return undefined;
      }
      const bytes = data.subarray(length);
      const actual = createHash('sha256').update(encodeHeader(header)).update(bytes).digest('hex');
      return actual === id ? { header, size: bytes.length, content: { kind: 'bytes', bytes } } : undefined;
    } catch (error) {
      if (error instanceof BridgeError) return undefined;
      throw error;
    }
  }

  /** A disk that is full is no reason to end the pull here. */
  #flush(): void {
    const bytes = this.#pending.take();
    this.#noted = 0;
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#file.number, bytes, done, bytes.length - done, this.#end + done);
      this.#end += bytes.length;
    } catch (error) {
      if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EIO')) throw error;
    }
  }
}
