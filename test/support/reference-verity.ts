import { createHash } from 'node:crypto';

const BLOCK = 4096;

/**
 * The fs-verity digest of `content` in hex, computed the obvious way with node:crypto to check the fast one against.
 */
export function referenceVerity(content: Buffer, algorithm: 'sha256' | 'sha512'): string {
  const hash = (data: Buffer): Buffer => createHash(algorithm).update(data).digest();
  let level: Buffer = content;
  let root: Buffer = Buffer.alloc(0);
  while (content.length > 0) {
    const hashes: Buffer[] = [];
    for (let at = 0; at < level.length; at += BLOCK) {
      const block = Buffer.alloc(BLOCK);
      level.copy(block, 0, at, at + BLOCK);
      hashes.push(hash(block));
    }
    level = Buffer.concat(hashes);
    if (hashes.length === 1) {
      root = level;
      break;
    }
  }
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, algorithm === 'sha256' ? 1 : 2, 12]);
  descriptor.writeBigUInt64LE(BigInt(content.length), 8);
  descriptor.set(root, 16);
  return hash(descriptor).toString('hex');
}
