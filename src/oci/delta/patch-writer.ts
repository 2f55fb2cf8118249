// A patch on its way into a file: the addon reads, packs and compresses away from JavaScript.
import type { ByteString } from '../../bytes.js';
import { CancelFlag } from '../../cancel-flag.js';
import { BridgeError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { KERNEL_ALGORITHM } from '../../fsverity/object-id.js';
import type { TarDiffVersion } from '../../layer/tar-diff-format.js';
import { loadNative, type FdNumber } from '../../native.js';
import type { ObjectStore } from '../../repository/objects.js';
import type { BlobFacts } from '../../spec/manifest.js';
import { PatchBatch, type SizedObject } from './patch-batch.js';

interface NativePatches {
  openPatch(
    objects: FdNumber,
    out: FdNumber,
    algorithm: number,
    level: number,
    frames: boolean,
    threads: number,
  ): object;
  packPatch(patch: object, operations: Buffer, flag: Uint8Array): Promise<void>;
  finishPatch(patch: object, flag: Uint8Array): Promise<[size: number, digest: Buffer]>;
  closePatch(patch: object): void;
}

const native = loadNative<NativePatches>();

/** So much of changed files is packed at a time, and is in memory as it is and packed; longer ones in such parts. */
const CHANGED_AT_ONCE = 64 << 20;
/** A call reads no more, so that one hears of its progress. */
const CONTENT_AT_ONCE = 256 << 20;
const ENCODED_AT_ONCE = 1 << 20;

export interface PatchOptions {
  version: TarDiffVersion;
  /** of zstd: 1 to 19 */
  level: number;
  /** how many threads pack; default: one for each processor, up to 4. The bytes do not depend on it */
  threads?: number | undefined;
}

/** Writes a patch. Whoever disposes it waits for what is under way. */
export class PatchWriter implements AsyncDisposable {
  readonly #patch: object;
  readonly #flag: CancelFlag;
  #batch = new PatchBatch();
  #packing: Promise<void> = Promise.resolve();

  /** @param out where to, from its start; stays the caller's */
  constructor(objects: ObjectStore, out: Fd, { version, level, threads = 0 }: PatchOptions, signal: AbortSignal) {
    const algorithm = KERNEL_ALGORITHM[objects.algorithm];
    this.#patch = native.openPatch(objects.dir.number, out.number, algorithm, level, version === 2, threads);
    this.#flag = new CancelFlag(signal);
  }

  data(bytes: Buffer): void {
    this.#batch.data(bytes);
  }

  copy(path: ByteString, size: number): void {
    this.#batch.copy(path, size);
  }

  content({ id, size }: SizedObject): void {
    this.#batch.content({ id, offset: 0, size });
  }

  /** @param path of the file that is like it, and `source` its content */
  async changed(path: ByteString, source: SizedObject, { id, size: whole }: SizedObject): Promise<void> {
    for (let offset = 0; offset < whole; offset += CHANGED_AT_ONCE) {
      const size = Math.min(CHANGED_AT_ONCE, whole - offset);
      if (this.#batch.changedBytes + size > CHANGED_AT_ONCE) await this.#submit();
      this.#batch.changed(path, source, { id, offset, size });
    }
  }

  /** Waits when enough was written that is not packed yet. */
  async room(): Promise<void> {
    if (this.#batch.length >= ENCODED_AT_ONCE || this.#batch.contentBytes >= CONTENT_AT_ONCE) await this.#submit();
  }

  /** Ends the patch. @returns what became of it: all of the file */
  async finish(): Promise<BlobFacts> {
    await this.#submit();
    await this.#packing;
    const [size, digest] = await packed(native.finishPatch(this.#patch, this.#flag.byte));
    return { digest: `sha256:${digest.toString('hex')}`, size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#flag.set();
    await Promise.allSettled([this.#packing]);
    this.#flag[Symbol.dispose]();
    native.closePatch(this.#patch);
  }

  /** One is packed while the next one is collected. */
  async #submit(): Promise<void> {
    await this.#packing;
    this.#packing = packed(native.packPatch(this.#patch, this.#batch.take(), this.#flag.byte));
    // Whoever waits for it next gets the error.
    this.#packing.catch(() => undefined);
    this.#batch = new PatchBatch();
  }
}

async function packed<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'SOURCE_CHANGED')
      throw new FormatError('OBJECT_DAMAGED', `${message}; fsck tells more`, { cause: error });
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG')
      throw new BridgeError('NO_SPACE', 'a patch does not fit into the temporary folder; set TMPDIR to a larger one', {
        cause: error,
      });
    throw error;
  }
}
