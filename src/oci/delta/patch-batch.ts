import type { ByteString } from '../../bytes.js';
import { objectPath, type ObjectId } from '../../fsverity/object-id.js';
import { GrowingBuffer } from '../../growing-buffer.js';
import { PATCH_OPERATION } from '../../layouts.js';
import { tarDiffOperations } from '../../layer/tar-diff-writer.js';

/** Plain data goes in one operation as long as there is no more of it: others write as much. */
const DATA_AT_ONCE = 1 << 20;

/** An object, and how long it is in bytes. */
export interface SizedObject {
  readonly id: ObjectId;
  readonly size: number;
}

/** A part of an object, in bytes. */
export interface ObjectPart {
  readonly id: ObjectId;
  readonly offset: number;
  readonly size: number;
}

/** Parts of a patch, collected for one call into the addon (see PatchOperation in native/base/layouts.h). */
export class PatchBatch {
  readonly #out = new GrowingBuffer(64 << 10);
  readonly #data: Buffer[] = [];
  #dataLength = 0;
  /** bytes of objects that the addon has to read: they are plain data, or packed */
  contentBytes = 0;
  /** bytes of objects that it has to pack, which are in memory for that */
  changedBytes = 0;

  /** Encoded size so far, in bytes. */
  get length(): number {
    return this.#out.length + this.#dataLength;
  }

  /** Bytes of the tar as they are; copied. */
  data(bytes: Buffer): void {
    this.#data.push(Buffer.from(bytes));
    this.#dataLength += bytes.length;
    if (this.#dataLength >= DATA_AT_ONCE) this.#endData();
  }

  /** The whole content of a file of the source. */
  copy(path: ByteString, size: number): void {
    this.#endData();
    this.#raw(tarDiffOperations.open(path), tarDiffOperations.copy(size));
  }

  /** Content that the source has nothing of. */
  content(part: ObjectPart): void {
    this.#endData();
    this.contentBytes += part.size;
    this.#part(PATCH_OPERATION.content, part);
  }

  /** Content that a file of the source is like. @param path of that file */
  changed(path: ByteString, source: SizedObject, part: ObjectPart): void {
    this.#endData();
    this.contentBytes += part.size;
    this.changedBytes += part.size;
    this.#raw(tarDiffOperations.open(path));
    this.#part(PATCH_OPERATION.changed, part, source);
  }

  /** All of it. The batch must not be used any more. */
  take(): Buffer {
    this.#endData();
    return this.#out.take();
  }

  #endData(): void {
    if (this.#dataLength === 0) return;
    this.#raw(tarDiffOperations.data(this.#dataLength), ...this.#data);
    this.#data.length = 0;
    this.#dataLength = 0;
  }

  #raw(...operations: readonly Buffer[]): void {
    const size = operations.reduce((sum, { length }) => sum + length, 0);
    let at = this.#out.reserve(5 + size);
    this.#out.bytes[at] = PATCH_OPERATION.raw;
    this.#out.bytes.writeUInt32LE(size, at + 1);
    at += 5;
    for (const bytes of operations) at += bytes.copy(this.#out.bytes, at);
  }

  #part(kind: number, { id, offset, size }: ObjectPart, source?: SizedObject): void {
    const name = objectPath(id);
    const sourceName = source === undefined ? '' : objectPath(source.id);
    let at = this.#out.reserve(1 + (source === undefined ? 0 : 10 + sourceName.length) + 18 + name.length);
    at = this.#out.bytes.writeUInt8(kind, at);
    if (source !== undefined) at = this.#name(sourceName, this.#number(source.size, at));
    this.#name(name, this.#number(size, this.#number(offset, at)));
  }

  #number(value: number, at: number): number {
    return this.#out.bytes.writeBigUInt64LE(BigInt(value), at);
  }

  #name(name: string, at: number): number {
    const begin = this.#out.bytes.writeUInt16LE(name.length, at);
    return begin + this.#out.bytes.write(name, begin, 'latin1');
  }
}
