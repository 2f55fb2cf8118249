// One zstd frame, made in a thread of its own: libzstd is called synchronously.
import { on } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { workerFile } from '../worker-file.js';
import { inBlocks } from './blocks.js';

const BLOCK = 1 << 18;
/** So many blocks may be on their way, so that neither side waits for the other. */
const AHEAD = 3;
/** libzstd's own threads: how many there are changes nothing about the bytes. */
const THREADS = Math.min(availableParallelism(), 4);

/** What the thread starts with. */
export interface ZstdTask {
  level: number;
  threads: number;
}

/** What one block, or the end, brought. */
export interface ZstdAnswer {
  outputs: Uint8Array[];
  /**
   * The block, to be filled again. New ones each time would pile up, because the collector sees how little an object
   * takes that stands for them: 30 MiB in each thread.
   */
  block: Uint8Array | undefined;
}

/** @param level 1 to 19 @param threads at least 1: without any, the bytes would be others */
export async function* zstd(
  pieces: AsyncIterable<Buffer>,
  level: number,
  threads = THREADS,
): AsyncGenerator<Buffer, void, void> {
  const task: ZstdTask = { level, threads };
  const worker = new Worker(workerFile('compress/zstd-worker.js'), { workerData: task, execArgv: [] });
  const answers = on(worker, 'message')[Symbol.asyncIterator]() as AsyncIterator<[ZstdAnswer]>;
  const spare: Buffer[] = [];
  try {
    let waiting = 0;
    for await (const block of inBlocks(pieces, BLOCK, spare)) {
      worker.postMessage(block, block.length === BLOCK ? [block.buffer as ArrayBuffer] : []);
      if (++waiting < AHEAD) continue;
      waiting--;
      yield* await next(answers, spare);
    }
    worker.postMessage(undefined);
    for (; waiting >= 0; waiting--) yield* await next(answers, spare);
  } finally {
    await answers.return?.();
    await worker.terminate();
  }
}

/** What came out of one block, or of the end. @throws what went wrong in the thread */
async function next(answers: AsyncIterator<[ZstdAnswer]>, spare: Buffer[]): Promise<Buffer[]> {
  const [{ outputs, block }] = (await answers.next()).value as [ZstdAnswer];
  if (block?.length === BLOCK) spare.push(bufferOf(block));
  return outputs.map(bufferOf);
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
