import type { Algorithm } from '../../../src/fsverity/algorithm.js';
import { Digests } from '../../../src/fsverity/digests.js';

export function digestsOf(algorithm: Algorithm, ids: readonly string[]): Digests {
  return new Digests(algorithm, Buffer.from(ids.join(''), 'hex'));
}

export function idsOf(digests: Digests): string[] {
  return Array.from({ length: digests.length }, (_, index) => digests.at(index));
}
