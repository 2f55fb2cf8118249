import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { loadNative, type FdNumber } from '../native.js';
import { Fd } from './fd.js';

/** So many files at most are opened in one call, one after the other. */
const TOGETHER = 32;

/** What a file begins with. */
export interface Beginning {
  /** of the file, in bytes */
  readonly size: number;
  readonly bytes: Buffer;
  /** of a file that goes on; whoever gets it owns it */
  readonly fd: Fd | undefined;
}

/** By the index of a file's name. */
interface NativeBeginnings {
  readonly bytes: Buffer;
  /** -1 for what is no regular file */
  readonly sizes: Float64Array;
  /** in `bytes` */
  readonly ends: Uint32Array;
  /** -1 where there is none */
  readonly fds: Int32Array;
  readonly errors: readonly (Error | undefined)[];
}

const native = loadNative<{
  openBeginnings(folder: FdNumber, names: readonly ByteString[], most: number): Promise<NativeBeginnings>;
}>();

interface Asked {
  readonly name: ByteString;
  readonly resolve: (beginning: Beginning) => void;
  readonly reject: (error: unknown) => void;
}

/** Opens files below a folder beside the event loop; those that are asked for at the same time, together. */
export class BeginningReader {
  readonly #folder: Fd;
  readonly #most: number;
  #asked: Asked[] = [];

  /**
   * @param folder must stay open until all that is asked for has come
   * @param most bytes of a beginning; a file that is not longer is all in it
   */
  constructor(folder: Fd, most: number) {
    this.#folder = folder;
    this.#most = most;
  }

  /**
   * Opens a file by a name that came from outside, as `openBeneath` does, and reads its beginning.
   * @throws an error with `code`, like Node's fs; FormatError `NOT_A_FILE`, or `SHORT_FILE` when it became shorter
   *   meanwhile
   */
  open(name: ByteString): Promise<Beginning> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ name, resolve, reject });
      if (this.#asked.length === TOGETHER) void this.#read();
      else if (this.#asked.length === 1) setImmediate(() => void this.#read());
    });
  }

  async #read(): Promise<void> {
    const asked = this.#asked;
    this.#asked = [];
    if (asked.length === 0) return;
    try {
      const names = asked.map(({ name }) => name);
      this.#give(asked, await native.openBeginnings(this.#folder.number, names, this.#most));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  #give(asked: readonly Asked[], { bytes, sizes, ends, fds, errors }: NativeBeginnings): void {
    let start = 0;
    asked.forEach(({ name, resolve, reject }, index) => {
      const size = sizes[index]!;
      const fd = fds[index]! < 0 ? undefined : new Fd(fds[index]!);
      const beginning = bytes.subarray(start, (start = ends[index]!));
      const missing = Math.min(size, this.#most) - beginning.length;
      if (missing === 0) return resolve({ size, bytes: beginning, fd });
      fd?.close();
      reject(errors[index] ?? (size < 0 ? noFile(name) : shortFile(missing, beginning.length)));
    });
  }
}

function noFile(name: ByteString): FormatError {
  return new FormatError('NOT_A_FILE', `${showBytes(name)} is not a regular file`);
}

function shortFile(missing: number, offset: number): FormatError {
  return new FormatError('SHORT_FILE', `file ends ${missing} bytes early`, { place: { offset } });
}
