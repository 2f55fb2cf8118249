// gzip by the addon, which fills the same few buffers again and again.
import { loadNative } from '../native.js';
import { releaseBytes } from './release-bytes.js';

/** So many bytes come out at once, the last piece excepted. */
const OUTPUT_SIZE = 256 * 1024;
/** So many bytes of the file may wait. */
const READ_AHEAD = 2 << 20;
/** One is read, and one is filled meanwhile. */
const OUTPUTS = 2;
const NONE = Buffer.alloc(0);

interface Native {
  openGunzip(): object | undefined;
  runGunzip(
    gunzip: object,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<[consumed: number, produced: number, damage?: string]>;
  isGunzipComplete(gunzip: object): boolean;
}

const native = loadNative<Native>();

/** Decompresses the members of one gzip file. */
export class Gunzip {
  readonly #native: object;
  /** the piece that is being read, and what is left of it */
  #piece: Buffer = NONE;
  #input: Buffer = NONE;
  /** There may be more to come out of what was read already. */
  #full = false;
  #ended = false;

  /** @returns undefined where Node does not let the addon use its zlib */
  static open(): Gunzip | undefined {
    const handle = native.openGunzip();
    return handle === undefined ? undefined : new Gunzip(handle);
  }

  private constructor(handle: object) {
    this.#native = handle;
  }

  /**
   * The decompressed bytes; each piece is valid until the next one is asked for. The source is read to its end, and
   * ahead of what is decompressed.
   * @throws Error with one of zlib's codes (`Z_DATA_ERROR`, `Z_BUF_ERROR`) for a damaged file; what the source throws
   */
  async *read(pieces: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, void> {
    const outputs = Array.from({ length: OUTPUTS }, () => Buffer.allocUnsafeSlow(OUTPUT_SIZE));
    const ahead = new Ahead(pieces);
    let filled = this.#fill(outputs[0]!, ahead);
    for (let turn = 1; ; turn++) {
      const piece = await filled;
      if (piece.length === 0) break;
      filled = this.#fill(outputs[turn % OUTPUTS]!, ahead);
      // Its error comes with the next piece, if somebody asks for that.
      filled.catch(() => undefined);
      yield piece;
    }
    if (!native.isGunzipComplete(this.#native)) throw zlibError('Z_BUF_ERROR', 'unexpected end of file');
  }

  /** As much as there is place for; nothing at the end. */
  async #fill(output: Buffer, ahead: Ahead): Promise<Buffer> {
    let length = 0;
    while (length < output.length) {
      if (this.#input.length === 0 && !this.#full) {
        if (this.#ended) break;
        const next = await ahead.next();
        this.#ended = next === undefined;
        releaseBytes(this.#piece);
        this.#piece = next ?? NONE;
        this.#input = this.#piece;
        continue;
      }
      const room = output.subarray(length);
      const [consumed, produced, damage] = await native.runGunzip(this.#native, this.#input, room);
      if (damage !== undefined) throw zlibError('Z_DATA_ERROR', damage);
      this.#input = this.#input.subarray(consumed);
      this.#full = produced === room.length;
      length += produced;
    }
    return output.subarray(0, length);
  }
}

/** As node:zlib's are. */
function zlibError(code: 'Z_DATA_ERROR' | 'Z_BUF_ERROR', message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Reads on while pieces are decompressed: what comes from a network is safe only when it was read. */
class Ahead {
  readonly #pieces: AsyncIterator<Buffer>;
  readonly #ready: Buffer[] = [];
  #length = 0;
  #ended = false;
  #reading: Promise<void> | undefined;

  constructor(pieces: AsyncIterator<Buffer>) {
    this.#pieces = pieces;
  }

  /** @returns undefined at the end @throws what the source throws, after the pieces before it */
  async next(): Promise<Buffer | undefined> {
    this.#read();
    while (this.#ready.length === 0 && !this.#ended) await this.#reading;
    const piece = this.#ready.shift();
    this.#length -= piece?.length ?? 0;
    this.#read();
    return piece;
  }

  #read(): void {
    if (this.#reading !== undefined || this.#ended || this.#length >= READ_AHEAD) return;
    this.#reading = this.#pieces.next().then(({ done, value }) => {
      this.#reading = undefined;
      if (done === true) {
        this.#ended = true;
        return;
      }
      this.#ready.push(value);
      this.#length += value.length;
      this.#read();
    });
    // Its error comes when its turn does; a promise that failed stays the one that is waited for.
    this.#reading.catch(() => undefined);
  }
}
