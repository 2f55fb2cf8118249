import type { ByteString } from '../../bytes.js';

/** Up to this length a loop is faster than the call into the runtime that `Buffer.write` is. */
const SHORT = 32;

/** Copies a byte string to `at`, where there has to be room. */
export function writeBytes(out: Buffer, bytes: ByteString, at: number): void {
  if (bytes.length > SHORT) {
    out.write(bytes, at, 'latin1');
    return;
  }
  for (let index = 0; index < bytes.length; index++) out[at + index] = bytes.charCodeAt(index);
}
