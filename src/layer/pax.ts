import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { XATTR_NAMES_LIMIT } from '../limits.js';

/** What a PAX extended header (POSIX.1-2001, type `x`) overrides in the header after it. */
export interface PaxRecords {
  path?: ByteString | undefined;
  linkPath?: ByteString | undefined;
  size?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
  mtimeSec?: bigint | undefined;
  mtimeNsec?: number | undefined;
  atime?: PaxTime | undefined;
  xattrs?: Map<ByteString, ByteString>;
}

/** Nanoseconds (0 to 999999999) always count upwards from the seconds since 1970. */
export interface PaxTime {
  sec: bigint;
  nsec: number;
}

const XATTR_PREFIX = 'SCHILY.xattr.';
const SPARSE_PREFIX = 'GNU.sparse.';
const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;

/**
 * Reads the records `<length> <key>=<value>\n` of one extended header. Keys without meaning for a file tree are
 * skipped; of a key that comes twice the last counts; an empty value takes an override back.
 * @param data the records, without the padding to the block
 * @param offset where `data` starts in the tar, for error messages
 * @throws FormatError for malformed records and values, and for sparse files
 */
export function parsePax(data: Buffer, offset: number): PaxRecords {
  const records: PaxRecords = {};
  let start = 0;
  while (start < data.length) {
    let pos = start;
    let length = 0;
    for (; pos < data.length && data[pos] !== SPACE; pos++) {
      const digit = data[pos]! - 0x30;
      // Ten digits are beyond any extended header, and a longer number would lose precision.
      if (digit < 0 || digit > 9 || pos - start > 9) throw malformed('length', offset + start);
      length = length * 10 + digit;
    }
    const end = start + length;
    const keyStart = pos + 1;
    if (pos === start || end > data.length || end <= keyStart || data[end - 1] !== NEWLINE) {
      throw malformed('length', offset + start);
    }
    const equals = data.indexOf(EQUALS, keyStart);
    if (equals <= keyStart || equals >= end) throw malformed('key', offset + start);
    applyRecord(
      records,
      data.toString('latin1', keyStart, equals),
      data.toString('latin1', equals + 1, end - 1),
      offset + start,
    );
    start = end;
  }
  checkXattrNames(records, offset);
  return records;
}

function checkXattrNames({ xattrs }: PaxRecords, offset: number): void {
  if (xattrs === undefined) return;
  let bytes = 0;
  for (const name of xattrs.keys()) bytes += name.length + 1;
  if (bytes > XATTR_NAMES_LIMIT)
    throw new FormatError('TAR_PAX', `names of xattrs of ${bytes} bytes, at most ${XATTR_NAMES_LIMIT} are accepted`, {
      place: { offset },
    });
}

function applyRecord(records: PaxRecords, key: string, value: ByteString, offset: number): void {
  switch (key) {
    case 'path':
      records.path = name(key, value, offset);
      return;
    case 'linkpath':
      records.linkPath = name(key, value, offset);
      return;
    case 'size':
    case 'uid':
    case 'gid':
      records[key] = decimal(key, value, offset);
      return;
    case 'atime':
      records.atime = time(key, value, offset);
      return;
    case 'mtime': {
      const mtime = time(key, value, offset);
      records.mtimeSec = mtime?.sec;
      records.mtimeNsec = mtime?.nsec;
      return;
    }
  }
  if (key.startsWith(XATTR_PREFIX)) {
    const attribute = key.slice(XATTR_PREFIX.length);
    if (attribute.includes('\0')) throw malformed('xattr name', offset);
    (records.xattrs ??= new Map()).set(attribute, value);
  } else if (key.startsWith(SPARSE_PREFIX)) {
    throw new FormatError('TAR_SPARSE', 'sparse files in a tar are not supported; pack the layer without --sparse', {
      place: { offset },
    });
  }
}

function name(key: string, value: ByteString, offset: number): ByteString | undefined {
  // Programs that hand the name to the kernel as a C string would see another, shorter name.
  if (value.includes('\0')) throw malformed(key, offset);
  return value === '' ? undefined : value;
}

function decimal(key: string, value: string, offset: number): number | undefined {
  if (value === '') return undefined;
  const number = /^\+?\d{1,19}$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(number)) throw malformed(key, offset);
  return number;
}

/** `[-]seconds[.fraction]`; the fraction is cut to nanoseconds. */
function time(key: string, value: string, offset: number): PaxTime | undefined {
  if (value === '') return undefined;
  const match = /^([+-]?)(\d{1,19})(?:\.(\d*))?$/.exec(value);
  if (!match) throw malformed(key, offset);
  const seconds = BigInt(match[2]!);
  if (seconds >= 1n << 63n) throw malformed(key, offset);
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] !== '-') return { sec: seconds, nsec: nanoseconds };
  return nanoseconds > 0
    ? { sec: -seconds - 1n, nsec: 1_000_000_000 - nanoseconds }
    : { sec: -seconds, nsec: nanoseconds };
}

function malformed(what: string, offset: number): FormatError {
  return new FormatError('TAR_PAX', `malformed PAX record: bad ${what}`, { place: { offset } });
}
