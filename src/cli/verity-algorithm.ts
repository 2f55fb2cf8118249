import { parseAlgorithm } from '../repository/meta.js';
import type { Algorithm } from '../fsverity/object-id.js';
import { UsageError } from './errors.js';

/** Parses the name of an algorithm as meta.json has it. @throws UsageError */
export function verityAlgorithm(name: string): Algorithm {
  try {
    return parseAlgorithm(name);
  } catch (cause) {
    throw new UsageError(
      `option '--algorithm <algorithm>' argument '${name}' is invalid. Expected fsverity-sha512-12 or ` +
        'fsverity-sha256-12.',
      { cause },
    );
  }
}
