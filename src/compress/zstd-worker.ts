// The thread behind zstd-thread.ts: a block comes, what became of it goes; nothing that comes is the end.
import { parentPort, workerData } from 'node:worker_threads';
import binding from 'zstd-napi/binding.js';
import type { ZstdAnswer, ZstdTask } from './zstd-thread.js';

/** In bytes; libzstd's own choice, four windows, takes several times the memory of all else in a push. */
const JOB = 2 << 20;

const { level, threads } = workerData as ZstdTask;
const context = new binding.CCtx();
context.setParameter(binding.CParameter.compressionLevel, level);
context.setParameter(binding.CParameter.nbWorkers, threads);
context.setParameter(binding.CParameter.jobSize, JOB);
const output = Buffer.allocUnsafeSlow(binding.cStreamOutSize());

parentPort?.on('message', (block: Uint8Array | undefined) => {
  const outputs = compress(block ?? new Uint8Array(), block === undefined);
  const answer: ZstdAnswer = { outputs, block };
  const buffers = [...outputs, ...(block ? [block] : [])].map(({ buffer }) => buffer as ArrayBuffer);
  parentPort?.postMessage(answer, buffers);
  if (block === undefined) parentPort?.close();
});

function compress(block: Uint8Array, last: boolean): Uint8Array[] {
  const outputs: Uint8Array[] = [];
  const directive = last ? binding.EndDirective.end : binding.EndDirective.continue;
  for (let rest = block; ; ) {
    const [left, produced, consumed] = context.compressStream2(output, rest, directive);
    if (produced > 0) outputs.push(new Uint8Array(output.subarray(0, produced)));
    rest = rest.subarray(consumed);
    if (rest.length === 0 && (last ? left === 0 : produced < output.length)) return outputs;
  }
}
