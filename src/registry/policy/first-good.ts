import { createHash } from 'node:crypto';
import type { Signature } from '../signatures/signature.js';

/**
 * Whether one of several signatures is good: one is enough.
 * @param problemWith says what is wrong with one, and undefined of a good one
 * @returns undefined if there is one, else what is wrong with them all
 */
export async function problemUnlessOneIsGood<T extends Signature>(
  signatures: readonly T[],
  problemWith: (signature: T) => string | undefined | Promise<string | undefined>,
): Promise<string | undefined> {
  if (signatures.length === 0) return 'the image has no signature';
  const problems = new Set<string>();
  const seen = new Set<string>();
  for (const signature of signatures) {
    // The same one again may cost another process, and changes nothing.
    const content = signature.kind === 'simple' ? signature.message : JSON.stringify(signature);
    const digest = createHash('sha256').update(content).digest('hex');
    if (seen.has(digest)) continue;
    seen.add(digest);
    const problem = await problemWith(signature);
    if (problem === undefined) return undefined;
    problems.add(problem);
  }
  return [...problems].join('; ');
}
