// What files of a system are like, the same bytes every time.
import { createCipheriv, createHash } from 'node:crypto';
import type { Random } from '../test/support/random.js';

/** Of as many bytes, so many have no pattern: as much as gzip leaves of programs and texts. */
const [BLOCK, NOISE] = [64, 24] as const;
const TABLE = Buffer.from(words(64 << 10, 'table'));

/** Of a file, in bytes: most files are small, most bytes are in large ones. */
export function sizeOf(random: Random): number {
  const kind = random.upTo(99);
  if (kind < 55) return 200 + random.upTo(8000);
  if (kind < 95) return 8000 + random.upTo(100_000);
  return 100_000 + random.upTo(2_000_000);
}

/** @param name other names give other bytes */
export function contentOf(name: string, size: number): Buffer {
  const key = createHash('sha256').update(name).digest();
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  const blocks = Math.ceil(size / BLOCK);
  const noise = cipher.update(Buffer.alloc(blocks * NOISE));
  const content = Buffer.alloc(blocks * BLOCK);
  for (let block = 0; block < blocks; block++) {
    noise.copy(content, block * BLOCK, block * NOISE, (block + 1) * NOISE);
    const from = noise.readUInt16LE(block * NOISE) % (TABLE.length - BLOCK);
    TABLE.copy(content, block * BLOCK + NOISE, from, from + BLOCK - NOISE);
  }
  return content.subarray(0, size);
}

/** Text of so many bytes. */
export function words(size: number, seed: string): string {
  const noise = createHash('shake128', { outputLength: size }).update(seed).digest();
  let text = '';
  for (let at = 0; text.length < size; at++) text += `${(noise[at % size] as number) ^ (at >> 5)} `;
  return text.slice(0, size);
}
