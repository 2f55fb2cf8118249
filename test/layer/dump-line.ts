import type { ByteString } from '../../src/bytes.js';
import type { EntryType, TarEntry } from '../../src/layer/entry.js';

const TYPE_BITS: Record<EntryType, number> = {
  file: 0o100000,
  hardlink: 0o120000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  directory: 0o040000,
  fifo: 0o010000,
};

/** The line `cfsctl oci layer --dumpfile` prints for an entry. */
export function dumpLine(entry: TarEntry, content: ByteString, digest: string): string {
  const path = rooted(entry.path);
  const extra: string[] = [];
  if (entry.type === 'hardlink') {
    return `${escape(path)} 0 @120000 - - - - 0.0 ${escape(rooted(entry.linkPath))} - -`;
  }
  const isLink = entry.type === 'symlink';
  const payload = digest === '' ? (isLink ? escape(entry.linkPath) : '-') : `${digest.slice(0, 2)}/${digest.slice(2)}`;
  for (const [key, value] of [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)))
    extra.push(`${escape(key, '=')}=${escape(value, '=')}`);
  return [
    escape(path),
    isLink ? entry.linkPath.length : entry.size,
    (TYPE_BITS[entry.type] | entry.mode).toString(8),
    1,
    entry.uid,
    entry.gid,
    deviceNumber(entry.devMajor, entry.devMinor),
    `${entry.mtimeSec}.${entry.mtimeNsec}`,
    payload,
    content === '' ? '-' : escape(content),
    digest === '' ? '-' : digest,
    ...extra,
  ].join(' ');
}

function rooted(path: ByteString): ByteString {
  const bare = path.replace(/\/+$/, '');
  return bare.startsWith('/') ? bare : `/${bare}`;
}

function deviceNumber(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn);
}

function escape(bytes: ByteString, special = ''): string {
  const names: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\\': '\\\\' };
  if (bytes === '-') return '\\x2d';
  return bytes.replace(/[^\x21-\x7e]|\\|=/g, (unit) => {
    if (unit === '=' && special === '') return unit;
    return names[unit] ?? `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
