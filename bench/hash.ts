// Hashing speed on one core: every kernel this CPU has, node:crypto beside it, and small files in batches.
//
//     node dist/bench/hash.js
import { createHash } from 'node:crypto';
import { cpus } from 'node:os';
import { kernels } from '../test/support/kernels.js';

const RUNS = 9;
const MEBIBYTE = 2 ** 20;
// Stays in the second-level cache, as the buffer of a reader does; the pieces are what such a reader hands over.
const content = Buffer.alloc(MEBIBYTE, 'content');
const pieces = new Uint32Array();

/** Median seconds of one call. */
function median(call: () => void, calls: number): number {
  const seconds = Array.from({ length: RUNS }, () => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) call();
    return Number(process.hrtime.bigint() - start) / 1e9 / calls;
  });
  return seconds.sort((a, b) => a - b)[RUNS >> 1]!;
}

function report(name: string, seconds: number, bytes: number, more = ''): void {
  console.log(`${name.padEnd(34)} ${(bytes / seconds / 1e9).toFixed(2).padStart(6)} GB/s${more}`);
}

function streamingSpeed(name: string, call: () => void): void {
  report(name, median(call, 16), content.length);
}

console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, one core, median of ${RUNS} runs`);

console.log('\nfs-verity of large files, one kernel at a time');
for (const kernel of kernels.hashKernels().sort()) {
  streamingSpeed(`  ${kernel}`, () => kernels.kernelDigest(kernel, content, pieces));
}
for (const algorithm of ['sha256', 'sha512']) {
  streamingSpeed(`  node:crypto ${algorithm}, block by block`, () => {
    for (let start = 0; start < content.length; start += 4096) {
      createHash(algorithm)
        .update(content.subarray(start, start + 4096))
        .digest();
    }
  });
}

console.log('\nplain digests of one long message');
for (const kernel of kernels.streamKernels()) {
  streamingSpeed(`  sha256-${kernel}`, () => kernels.streamDigest(kernel, content, pieces));
}
for (const algorithm of ['sha256', 'sha512']) {
  streamingSpeed(`  node:crypto ${algorithm}`, () => createHash(algorithm).update(content).digest());
}

console.log('\nfs-verity of 256 files at a time with the kernels chosen here (GB/s of content, padding not counted)');
for (const algorithm of ['sha256', 'sha512'] as const) {
  for (const size of [200, 2000, 8000, 64_000]) {
    const files = Array.from({ length: 256 }, (_, i) => content.subarray(i * 64, i * 64 + size));
    const together = median(() => kernels.verityBatch(algorithm, files), 4);
    const alone = median(() => files.forEach((file) => kernels.verityBatch(algorithm, [file])), 4);
    const perFile =
      `${((together / files.length) * 1e6).toFixed(2)} µs a file, ` +
      `${((alone / files.length) * 1e6).toFixed(2)} µs alone`;
    report(`  ${algorithm}, ${size} bytes`, together, size * files.length, `  ${perFile}`);
  }
}
