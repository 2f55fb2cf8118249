import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';

/**
 * What is wrong with the arguments whatever they mean, or undefined. Node puts U+FFFD where bytes are no UTF-8, which
 * would be another name than the one that was meant.
 */
export function argumentProblem(): string | undefined {
  if (!process.argv.some((word) => word.includes('\ufffd')) || isUtf8(readFileSync('/proc/self/cmdline')))
    return undefined;
  return 'invalid UTF-8 was detected in one or more arguments';
}
