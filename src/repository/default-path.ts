import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where a repository is when nobody says: the system's for root, one in the home directory for everyone else.
 * @example
 * ```ts
 * import { defaultRepositoryPath } from 'composefs-bridge';
 *
 * console.log(defaultRepositoryPath('system')); // /sysroot/composefs
 * ```
 */
export function defaultRepositoryPath(kind: 'system' | 'user' = process.getuid?.() === 0 ? 'system' : 'user'): string {
  return kind === 'system' ? '/sysroot/composefs' : join(homedir(), '.var/lib/composefs');
}
