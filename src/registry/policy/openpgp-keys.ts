// Files with OpenPGP keys, as people keep them: with armor or without.
import { FormatError } from '../../errors.js';

const BLOCK = /^-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n([\s\S]*?)^-----END PGP PUBLIC KEY BLOCK-----/gm;
const CRC_START = 0xb704ce;
const CRC_POLYNOMIAL = 0x1864cfb;
const PUBLIC_KEY = 6;

/**
 * The bytes of all keys in a file, without armor, as keyrings have them.
 * @param shown the file, for messages
 * @throws FormatError `BAD_CONFIG` when there is no public key in it
 * @example
 * ```ts
 * import { publicKeysIn } from 'composefs-bridge';
 *
 * // A packet of a key, as in files without armor.
 * console.log(publicKeysIn(Buffer.from('9900', 'hex'), 'the key').length); // 2
 * ```
 */
export function publicKeysIn(file: Buffer, shown: string): Buffer {
  // Binary packets begin with a bit that no text has.
  const first = file[0] ?? 0;
  const keys = first & 0x80 ? file : Buffer.concat(blocksIn(file.toString('latin1'), shown));
  if (keys.length === 0 || tagOf(keys[0] as number) !== PUBLIC_KEY)
    throw new FormatError('BAD_CONFIG', `${shown} holds no OpenPGP public key`);
  return keys;
}

/** The kind of a packet, by its first byte; undefined where none begins. */
function tagOf(byte: number): number | undefined {
  if ((byte & 0x80) === 0) return undefined;
  return byte & 0x40 ? byte & 0x3f : (byte & 0x3c) >> 2;
}

function blocksIn(text: string, shown: string): Buffer[] {
  return [...text.matchAll(BLOCK)].map(([, body]) => {
    // Headers such as Version: end with an empty line, which stands also where there are none.
    const lines = (body as string).split(/\r?\n/).map((line) => line.trim());
    const data = lines.slice(lines.indexOf('') + 1).filter((line) => line !== '');
    const checksum = data.at(-1)?.startsWith('=') ? data.pop() : undefined;
    const bytes = Buffer.from(data.join(''), 'base64');
    if (checksum !== undefined && Buffer.from(checksum.slice(1), 'base64').readUIntBE(0, 3) !== crc24(bytes))
      throw new FormatError('BAD_CONFIG', `${shown} is damaged: the checksum of a key is wrong`);
    return bytes;
  });
}

/** RFC 4880, 6.1 */
function crc24(bytes: Buffer): number {
  let crc = CRC_START;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if (crc & 0x1000000) crc ^= CRC_POLYNOMIAL;
    }
  }
  return crc & 0xffffff;
}
