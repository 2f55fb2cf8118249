import { loadNative } from '../../src/native.js';
import type { Algorithm } from '../../src/fsverity/algorithm.js';

/** What the addon offers to tests and benchmarks only. `pieces` are the lengths of successive updates. */
interface NativeKernels {
  /** Names of the kernels this CPU can run; each starts with its algorithm. */
  hashKernels(): string[];
  kernelDigest(kernel: string, bytes: Uint8Array, pieces: Uint32Array): Buffer;
  kernelBatch(kernel: string, files: readonly Uint8Array[]): Buffer[];
  verityBatch(algorithm: Algorithm, files: readonly Uint8Array[]): Buffer[];
  /** Names of the ways to stream plain SHA-256, the one in use first. */
  streamKernels(): string[];
  streamDigest(streamKernel: string, bytes: Uint8Array, pieces: Uint32Array): Buffer;
}

export const kernels = loadNative<NativeKernels>();

export function algorithmOf(kernel: string): Algorithm {
  return kernel.startsWith('sha256') ? 'sha256' : 'sha512';
}
