import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { TAR_DIFF_NAME_MAX, TAR_DIFF_OPERATION, type TarDiffVersion } from './tar-diff-format.js';

/**
 * An operation of a patch. What may be of any length comes in pieces, the last of which says so; there is at least one,
 * which may be empty. Bytes are parts of those that were read.
 */
export type TarDiffPiece =
  | { kind: 'open'; name: ByteString }
  /** whole bytes; not exact beyond 2^53, where no file can be read */
  | { kind: 'copy'; length: number }
  | { kind: 'seek'; position: number }
  | { kind: 'data' | 'addData' | 'zstdDict'; bytes: Buffer; first: boolean; last: boolean };

type PieceKind = 'data' | 'addData' | 'zstdDict';

const LENGTH_BITS = 64n;
const EMPTY = Buffer.alloc(0);
const NAMES = Object.fromEntries(Object.entries(TAR_DIFF_OPERATION).map(([name, code]) => [code, name])) as Readonly<
  Record<number, keyof typeof TAR_DIFF_OPERATION>
>;

/** Takes the decompressed operations of one patch, cut anywhere. After an error it must not be used any more. */
export class TarDiffReader {
  readonly #version: TarDiffVersion;
  #count = 0;
  #name: keyof typeof TAR_DIFF_OPERATION | undefined;
  #inside = false;
  /** What has come of the number; undefined when it is complete. */
  #number: { value: bigint; bits: bigint } | undefined;
  #due = 0;
  #first = true;
  readonly #file: Buffer[] = [];

  constructor(version: TarDiffVersion) {
    this.#version = version;
  }

  /** The operation that is under way, or was last, for people: `operation 3 (copy)`. Errors do not have it. */
  get operation(): string {
    return this.#count === 0 ? 'before the first operation' : `operation ${this.#count} (${this.#name ?? 'unknown'})`;
  }

  /** @throws FormatError `TAR_DIFF` for what is no operation */
  *read(bytes: Buffer): Generator<TarDiffPiece, void, void> {
    for (let at = 0; at < bytes.length; ) {
      if (!this.#inside) {
        this.#begin(bytes[at++] as number);
      } else if (this.#number !== undefined) {
        const piece = this.#take(bytes[at++] as number);
        if (piece !== undefined) yield piece;
      } else {
        const part = bytes.subarray(at, at + this.#due);
        at += part.length;
        this.#due -= part.length;
        const piece = this.#content(part);
        if (piece !== undefined) yield piece;
      }
    }
  }

  /** The operations are over. @throws FormatError `TAR_DIFF` when the last one is cut */
  end(): void {
    if (this.#inside) throw this.#error('the patch ends in the middle of an operation');
  }

  #begin(code: number): void {
    this.#count++;
    const name = NAMES[code];
    this.#name = name;
    if (name === undefined) throw this.#error(`there is no operation of the number ${code}`);
    this.#inside = true;
    if (name === 'zstdDict' && this.#version === 1)
      throw this.#error('a patch of version 1 has no frames with dictionaries');
    this.#number = { value: 0n, bits: 0n };
  }

  /** One byte of the number, seven bits of which count, the least ones first. */
  #take(byte: number): TarDiffPiece | undefined {
    const number = this.#number!;
    number.value |= BigInt(byte & 0x7f) << number.bits;
    number.bits += 7n;
    if (number.value >> LENGTH_BITS > 0n || (byte & 0x80 && number.bits > LENGTH_BITS))
      throw this.#error('a number has more than 64 bits');
    if (byte & 0x80) return undefined;
    this.#number = undefined;
    return this.#beginContent(number.value);
  }

  #beginContent(value: bigint): TarDiffPiece | undefined {
    const name = this.#name!;
    if (name === 'copy') return this.#done({ kind: 'copy', length: Number(value) });
    if (name === 'seek') return this.#done({ kind: 'seek', position: Number(value) });
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#error(`${value} bytes are more than there can be`);
    if (name === 'open' && value > TAR_DIFF_NAME_MAX) throw this.#error(`a name of ${value} bytes`);
    this.#due = Number(value);
    this.#first = true;
    return this.#due === 0 ? this.#content(EMPTY) : undefined;
  }

  #content(bytes: Buffer): TarDiffPiece | undefined {
    const last = this.#due === 0;
    if (this.#name === 'open') {
      this.#file.push(last && this.#file.length === 0 ? bytes : Buffer.from(bytes));
      if (!last) return undefined;
      const name = Buffer.concat(this.#file).toString('latin1');
      this.#file.length = 0;
      return this.#done({ kind: 'open', name });
    }
    const piece: TarDiffPiece = { kind: this.#name as PieceKind, bytes, first: this.#first, last };
    this.#first = false;
    return last ? this.#done(piece) : piece;
  }

  #done(piece: TarDiffPiece): TarDiffPiece {
    this.#inside = false;
    return piece;
  }

  #error(message: string): FormatError {
    return new FormatError('TAR_DIFF', message);
  }
}
