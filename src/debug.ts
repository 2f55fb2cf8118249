import { debuglog } from 'node:util';
import { bytesOf, showBytes } from './bytes.js';

const log = debuglog('cfsbridge');

/**
 * With `NODE_DEBUG=cfsbridge` says on standard error what is tried and decided. Paths and names in it are of others.
 * @param text is only called then
 */
export function debug(text: () => string): void {
  if (log.enabled) log('%s', showBytes(bytesOf(text())));
}
