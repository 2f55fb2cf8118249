// What a part of a delta is made of: operations, one byte each, with operands in LEB128. They make the objects that the
// superblock lists, in that order.
//
//   S length offset                   metadata: a slice of the payload
//   S mode xattrs length offset       a file: the same; of a symlink the slice is its target
//   o mode xattrs size                begins a file, which c ends
//   r offset / R                      a file of the base, whose id is in the payload, is read from now on / no more
//   w length offset                   more content: of the file that is read, or else of the payload
//   B offset length                   more content: a patch in the payload, applied to the file that is read
//   c                                 the file ends, and no file of the base is read any more
import { FormatError } from '../../errors.js';
import { OSTREE_METADATA_LIMIT, PATH_LIMIT } from '../../limits.js';
import { ID_SIZE, type Checksum } from '../object/checksum.js';
import type { FileHeader } from '../object/file-header.js';
import { isOfType, S_IFLNK, S_IFREG } from '../object/mode.js';
import type { ObjectKind } from '../object/kind.js';
import type { SourceContent } from '../pull/source.js';
import { PIECE, piecesOf, type ByteRange } from './byte-range.js';
import { patched } from './bspatch.js';
import type { OpenPart } from './part.js';
import type { DeltaObject } from './superblock.js';

type FileContent = Extract<SourceContent, { kind: 'none' | 'bytes' | 'pieces' }>;

/** Verifies the objects that come out of a delta, and takes them. */
export interface DeltaTarget {
  addMetadata(kind: Exclude<ObjectKind, 'file'>, id: Checksum, bytes: Buffer): void;
  /** Reads all of the pieces, each before the next, or throws. Content that fits into one piece comes as bytes. */
  addFile(
    id: Checksum,
    file: {
      header: FileHeader;
      size: number;
      content: FileContent;
    },
  ): Promise<void>;
  /** Waits until all that came is taken. @throws as `addFile` */
  settle(): Promise<void>;
}

/** Content of files of the base. */
export interface DeltaBase {
  /**
   * Valid until it is disposed.
   * @throws FormatError `OSTREE_DELTA` when the base has no such file
   */
  open(id: Checksum): ByteRange & Disposable;
}

/**
 * Makes the objects of a part.
 * @param objects that it has to make
 * @param target verifies and takes them
 * @throws FormatError `OSTREE_DELTA` for operations that do something else; what base and target throw
 */
export async function applyPart(
  part: OpenPart,
  objects: readonly DeltaObject[],
  base: DeltaBase,
  target: DeltaTarget,
  signal: AbortSignal,
): Promise<void> {
  using machine = new Machine(part, base);
  for (const object of objects) {
    signal.throwIfAborted();
    if (object.kind === 'file') await machine.file(object.id, target);
    else target.addMetadata(object.kind, object.id, machine.metadata());
  }
  machine.end();
}

class Machine implements Disposable {
  readonly #part: OpenPart;
  readonly #base: DeltaBase;
  #at = 0;
  #source: (ByteRange & Disposable) | undefined;
  #open = false;

  constructor(part: OpenPart, base: DeltaBase) {
    this.#part = part;
    this.#base = base;
  }

  metadata(): Buffer {
    const operation = this.#beginning();
    if (operation !== 'S') throw damaged(`makes metadata with operation ${operation}`);
    const length = this.#number();
    if (length > OSTREE_METADATA_LIMIT) throw damaged(`has metadata of ${length} bytes`);
    return this.#part.payload.read(this.#number(), length);
  }

  async file(id: Checksum, target: DeltaTarget): Promise<void> {
    const operation = this.#beginning();
    if (operation !== 'S' && operation !== 'o') throw damaged(`begins a file with operation ${operation}`);
    const header = { ...this.#part.owner(this.#number()), target: '', xattrs: this.#part.xattrs(this.#number()) };
    const length = this.#number();
    if (operation === 'S') await this.#whole(id, header, length, target);
    else await this.#inSteps(id, header, length, target);
  }

  /** @throws FormatError when there is anything left to do */
  end(): void {
    while (this.#at < this.#part.operations.length) {
      const operation = this.#operation();
      if (operation !== 'r' && operation !== 'R')
        throw damaged(`has operation ${operation} where all its objects are made`);
      this.#choose(operation);
    }
  }

  [Symbol.dispose](): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }

  async #whole(id: Checksum, header: FileHeader, length: number, target: DeltaTarget): Promise<void> {
    const offset = this.#number();
    const { payload } = this.#part;
    if (isOfType(header.mode, S_IFLNK)) {
      if (length > PATH_LIMIT) throw damaged(`has a symlink with a target of ${length} bytes`);
      const link = { ...header, target: payload.read(offset, length).toString('latin1') };
      await target.addFile(id, { header: link, size: 0, content: { kind: 'none' } });
    } else {
      checkRegular(header);
      await target.addFile(id, { header, size: length, content: contentOf(piecesOf(payload, offset, length), length) });
    }
  }

  async #inSteps(id: Checksum, header: FileHeader, size: number, target: DeltaTarget): Promise<void> {
    checkRegular(header);
    this.#open = true;
    await target.addFile(id, { header, size, content: contentOf(this.#content(size), size) });
    if (this.#open) throw damaged(`has file ${id} of other than ${size} bytes`);
  }

  *#content(size: number): Generator<Buffer, void, void> {
    let length = 0;
    for (;;) {
      const operation = this.#operation();
      if (operation === 'r' || operation === 'R') {
        this.#choose(operation);
      } else if (operation === 'w' || operation === 'B') {
        for (const piece of operation === 'w' ? this.#written() : this.#patched()) {
          length += piece.length;
          yield piece;
        }
      } else if (operation === 'c') {
        if (length !== size) throw damaged(`has a file of ${length} bytes, and says that it is of ${size}`);
        this[Symbol.dispose]();
        this.#open = false;
        return;
      } else {
        throw damaged(`has operation ${operation} in a file`);
      }
    }
  }

  #written(): Iterable<Buffer> {
    const length = this.#number();
    return piecesOf(this.#source ?? this.#part.payload, this.#number(), length);
  }

  #patched(): Iterable<Buffer> {
    const offset = this.#number();
    const length = this.#number();
    if (this.#source === undefined) throw damaged('has a patch and no file to apply it to');
    return patched(this.#source, this.#part.payload.slice(offset, length));
  }

  #beginning(): string {
    for (;;) {
      const operation = this.#operation();
      if (operation !== 'r' && operation !== 'R') return operation;
      this.#choose(operation);
    }
  }

  #choose(operation: 'r' | 'R'): void {
    this[Symbol.dispose]();
    if (operation === 'r')
      this.#source = this.#base.open(this.#part.payload.read(this.#number(), ID_SIZE).toString('hex'));
  }

  #operation(): string {
    const byte = this.#part.operations[this.#at];
    if (byte === undefined) throw damaged('ends before all its objects are made');
    this.#at++;
    return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `0x${byte.toString(16)}`;
  }

  #number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#part.operations[this.#at];
      if (byte === undefined) throw damaged('ends in a number');
      this.#at++;
      value += (byte & 0x7f) * factor;
      if (!Number.isSafeInteger(value)) throw damaged('has a number that is too large');
      if (byte < 0x80) return value;
    }
  }
}

/** What fits into one piece is read at once. @param size that it should have; of what has more the rest is not read */
function contentOf(pieces: Iterable<Buffer>, size: number): FileContent {
  if (size > PIECE) return { kind: 'pieces', pieces: eachOf(pieces) };
  const read: Buffer[] = [];
  let length = 0;
  for (const piece of pieces) {
    read.push(piece);
    length += piece.length;
    if (length > size) break;
  }
  return { kind: 'bytes', bytes: read.length === 1 ? read[0]! : Buffer.concat(read) };
}

async function* eachOf(pieces: Iterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  yield* pieces;
}

/** @throws FormatError: ostree has no other files */
function checkRegular({ mode }: FileHeader): void {
  if (!isOfType(mode, S_IFREG)) throw damaged(`has a file of mode 0${mode.toString(8)}`);
}

function damaged(what: string): FormatError {
  return new FormatError('OSTREE_DELTA', `a part of the delta ${what}`);
}
