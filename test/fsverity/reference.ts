import { createHash } from 'node:crypto';
import type { Algorithm } from '../../src/fsverity/algorithm.js';

const BLOCK = 4096;

/** fs-verity as its definition reads, with Node's own hashes: slow, whole levels in memory, nothing shared with the addon. */
export function referenceDigest(content: Buffer, algorithm: Algorithm): Buffer {
  const hash = (bytes: Buffer) => createHash(algorithm).update(bytes).digest();
  const hashBlocks = (level: Buffer) => {
    const hashes: Buffer[] = [];
    for (let start = 0; start < level.length; start += BLOCK) {
      const block = Buffer.alloc(BLOCK);
      level.copy(block, 0, start);
      hashes.push(hash(block));
    }
    return hashes;
  };
  let hashes = hashBlocks(content);
  while (hashes.length > 1) hashes = hashBlocks(Buffer.concat(hashes));
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, algorithm === 'sha256' ? 1 : 2, 12]);
  descriptor.writeBigUInt64LE(BigInt(content.length), 8);
  hashes[0]?.copy(descriptor, 16);
  return hash(descriptor);
}
