// Refs that may have any name are one file name each: `%` and `/` are escaped, nothing else.
import { bytesOf, type ByteString } from '../bytes.js';
import { checkName } from './links.js';

/**
 * The file name of a ref.
 * @throws BridgeError `INVALID_NAME` for an empty name, `.`, `..`, NUL, more than 255 bytes
 */
export function encodeRefName(name: string): ByteString {
  const encoded = bytesOf(name).replace(/%/g, '%25').replace(/\//g, '%2F');
  checkName(encoded);
  return encoded;
}

/** The ref of a file name. Other escapes, `%2f` among them, are not escapes and stay. */
export function decodeRefName(name: ByteString): string {
  return Buffer.from(
    name.replace(/%2F|%25/g, (escape) => (escape === '%25' ? '%' : '/')),
    'latin1',
  ).toString('utf8');
}
