import { FRAME_HEAD_LENGTH, frameWindow, ZstdDictionary } from '../../compress/zstd-dictionary.js';
import { FormatError } from '../../errors.js';
import { TAR_DIFF_WINDOW_LOG } from '../../layer/tar-diff-format.js';
import type { MemoryRoom } from './memory-room.js';
import type { SourceFile } from './source-file.js';

const MOST = 2 ** TAR_DIFF_WINDOW_LOG;

/** A zstd frame that has a whole file as its dictionary, on its way through. */
export class DictionaryFrame implements Disposable {
  readonly #file: SourceFile;
  readonly #room: MemoryRoom;
  readonly #signal: AbortSignal;
  /** What has come before it is known how much memory it takes. */
  #head: Buffer | undefined = Buffer.alloc(0);
  #memory: Disposable | undefined;
  #dictionary: ZstdDictionary | undefined;
  #reader: ReturnType<ZstdDictionary['reader']> | undefined;

  constructor(file: SourceFile, room: MemoryRoom, signal: AbortSignal) {
    this.#file = file;
    this.#room = room;
    this.#signal = signal;
  }

  /** What a part of the frame gives. The blocks are the caller's. @throws FormatError `COMPRESSION`, `TAR_DIFF` */
  async *read(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
    let input = bytes;
    if (this.#head !== undefined) {
      const head = Buffer.concat([this.#head, bytes]);
      const window = frameWindow(head.subarray(0, FRAME_HEAD_LENGTH));
      this.#head = window === undefined ? head : undefined;
      if (window === undefined) return;
      await this.#begin(window);
      input = head;
    }
    yield* this.#reader!.read(input);
  }

  /** @throws FormatError `COMPRESSION` when the frame is cut */
  end(): void {
    if (this.#reader?.ended !== true) throw new FormatError('COMPRESSION', 'the zstd frame has no end');
  }

  [Symbol.dispose](): void {
    this.#reader?.[Symbol.dispose]();
    this.#dictionary?.[Symbol.dispose]();
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
  }

  async #begin(window: number): Promise<void> {
    const { size } = this.#file;
    for (const bytes of [window, size])
      if (bytes > MOST) throw new FormatError('TAR_DIFF', `a frame takes ${bytes} bytes of memory, more than ${MOST}`);
    this.#memory = await this.#room.take(window + size, this.#signal);
    this.#dictionary =
      this.#file.object === undefined
        ? ZstdDictionary.ofBytes(await this.#file.bytes(0, size))
        : await ZstdDictionary.ofFile(this.#file.open(), size);
    this.#reader = this.#dictionary.reader(TAR_DIFF_WINDOW_LOG);
  }
}
