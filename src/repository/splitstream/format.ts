// The fixed parts of a splitstream file: header, info section, tables. Bytes in, values out; no I/O here.
//
//   header (32)   magic, version, flags, hash, block size, range of the info section
//   info (80)     ranges of the four sections, content type, length of the merged stream
//   stream_refs   raw digests of other splitstreams and images that the names point at
//   object_refs   raw digests of the objects that the stream body points at
//   named_refs    zstd; `<index into stream_refs>:<name>\0` …
//   stream        zstd; i64 each: < 0 that many inline bytes follow, >= 0 index into object_refs
//
// All integers are little-endian; ranges are absolute file offsets.
import { FormatError } from '../../errors.js';
import { DIGEST_SIZE, type Algorithm, type ObjectId } from '../../fsverity/object-id.js';

export const HEADER_SIZE = 32;
export const INFO_SIZE = 80;

const MAGIC = Buffer.from('SplitStream', 'latin1');
/** Files from before the layout was pinned carry the same fields in another order. */
const OLD_MAGIC_AT = 18;
const VERSION = 0;
const LG_BLOCK_SIZE = 12;
const HASH_IDS: Record<Algorithm, number> = { sha256: 1, sha512: 2 };

/** A byte range of the file: `start` inclusive, `end` exclusive. */
export interface Range {
  start: number;
  end: number;
}

export interface SplitstreamInfo {
  streamRefs: Range;
  objectRefs: Range;
  stream: Range;
  namedRefs: Range;
  /** What the stream holds: eight ASCII letters, or a random number, as the little-endian integer in the file. */
  contentType: bigint;
  /** Length of the merged stream, inline and external bytes together. */
  streamSize: bigint;
}

/** Content types of the streams that make up OCI images and ostree commits. */
export const CONTENT_TYPES = {
  layer: contentType('ocilayer'),
  config: contentType('ociconfg'),
  manifest: contentType('ocimanif'),
  blob: contentType('oci_blob'),
  /** not letters but a number, chosen at random */
  ostreeCommit: 0xafe138c18c463ef1n,
  ostreeSummary: contentType('osummary'),
} as const;

function contentType(letters: string): bigint {
  return Buffer.from(letters, 'latin1').readBigUInt64LE();
}

/** Whether a file that begins with these bytes (32, or all of a shorter one) is a splitstream, of whatever version. */
export function isSplitstream(bytes: Buffer): boolean {
  return isMagic(bytes, 0) || isMagic(bytes, OLD_MAGIC_AT);
}

/**
 * Reads the first 32 bytes of a splitstream.
 * @param bytes at least the header
 * @param algorithm hash of the repository, which the stream must share
 * @param fileSize length of the whole file in bytes
 * @returns where the info section is
 * @throws FormatError for anything else than a splitstream of this version, hash and block size
 */
export function parseHeader(bytes: Buffer, algorithm: Algorithm, fileSize: number): Range {
  if (bytes.length < HEADER_SIZE) throw new FormatError('SPLITSTREAM_SHORT', 'splitstream ends inside its header');
  const old = !isMagic(bytes, 0) && isMagic(bytes, OLD_MAGIC_AT);
  const at = old ? { magic: OLD_MAGIC_AT, range: 0 } : { magic: 0, range: 16 };
  if (!isMagic(bytes, at.magic)) throw new FormatError('SPLITSTREAM_MAGIC', 'not a splitstream');
  const tail = at.magic + MAGIC.length;
  const version = bytes[tail];
  const hash = bytes[old ? 30 : 14];
  const lgBlock = bytes[old ? 31 : 15];
  if (version !== VERSION) throw new FormatError('SPLITSTREAM_VERSION', `splitstream version ${version} is not known`);
  if (hash !== HASH_IDS[algorithm]) {
    throw new FormatError(
      'SPLITSTREAM_HASH',
      `splitstream uses hash ${hash}, the repository has ${HASH_IDS[algorithm]} (${algorithm})`,
    );
  }
  if (lgBlock !== LG_BLOCK_SIZE)
    throw new FormatError('SPLITSTREAM_BLOCK_SIZE', `splitstream has block size 2^${lgBlock}, only 2^12 is supported`);
  const info = readRange(bytes, at.range, fileSize, 'info');
  if (info.end - info.start < INFO_SIZE) throw new FormatError('SPLITSTREAM_INFO', 'the info section is too short');
  return info;
}

/**
 * Reads the info section.
 * @param bytes its 80 bytes; a later version may have more
 * @param fileSize length of the whole file in bytes
 * @throws FormatError when a section lies outside the file or a table is not made of whole digests
 */
export function parseInfo(bytes: Buffer, algorithm: Algorithm, fileSize: number): SplitstreamInfo {
  const info = {
    streamRefs: readRange(bytes, 0, fileSize, 'stream_refs'),
    objectRefs: readRange(bytes, 16, fileSize, 'object_refs'),
    stream: readRange(bytes, 32, fileSize, 'stream'),
    namedRefs: readRange(bytes, 48, fileSize, 'named_refs'),
    contentType: bytes.readBigUInt64LE(64),
    streamSize: bytes.readBigUInt64LE(72),
  };
  for (const table of [info.streamRefs, info.objectRefs]) {
    if ((table.end - table.start) % DIGEST_SIZE[algorithm] !== 0) {
      throw new FormatError('SPLITSTREAM_TABLE', 'a table of references is not made of whole digests', {
        place: { offset: table.start },
      });
    }
  }
  return info;
}

/** Writes header and info for sections that follow in the order stream_refs, object_refs, named_refs, stream. */
export function encodeHead(
  algorithm: Algorithm,
  type: bigint,
  streamSize: bigint,
  lengths: { streamRefs: number; objectRefs: number; namedRefs: number; stream: number },
): Buffer {
  const head = Buffer.alloc(HEADER_SIZE + INFO_SIZE);
  MAGIC.copy(head, 0);
  head[11] = VERSION;
  head[14] = HASH_IDS[algorithm];
  head[15] = LG_BLOCK_SIZE;
  writeRange(head, 16, HEADER_SIZE, INFO_SIZE);
  let end = head.length;
  end = writeRange(head, HEADER_SIZE, end, lengths.streamRefs);
  end = writeRange(head, HEADER_SIZE + 16, end, lengths.objectRefs);
  end = writeRange(head, HEADER_SIZE + 48, end, lengths.namedRefs);
  writeRange(head, HEADER_SIZE + 32, end, lengths.stream);
  head.writeBigUInt64LE(type, HEADER_SIZE + 64);
  head.writeBigUInt64LE(streamSize, HEADER_SIZE + 72);
  return head;
}

/**
 * Reads the decompressed table of names.
 * @param bytes the whole table
 * @param refs what the indices point at
 * @throws FormatError for an entry without colon or end, an index outside `refs`, a name that is not UTF-8
 */
export function parseNamedRefs(bytes: Buffer, refs: readonly ObjectId[]): Map<string, ObjectId> {
  const named = new Map<string, ObjectId>();
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    if (end < 0)
      throw new FormatError('SPLITSTREAM_NAME', 'the last named reference has no end', { place: { offset: start } });
    const colon = bytes.indexOf(0x3a, start);
    if (colon < 0 || colon > end)
      throw new FormatError('SPLITSTREAM_NAME', 'a named reference has no colon', { place: { offset: start } });
    const digits = bytes.toString('latin1', start, colon);
    const id = /^[0-9]{1,10}$/.test(digits) ? refs[Number(digits)] : undefined;
    if (id === undefined)
      throw new FormatError(
        'SPLITSTREAM_NAME',
        `named reference with index "${digits.slice(0, 20)}" of ${refs.length}`,
        { place: { offset: start } },
      );
    try {
      named.set(utf8.decode(bytes.subarray(colon + 1, end)), id);
    } catch (cause) {
      throw new FormatError('SPLITSTREAM_NAME', 'a named reference is not UTF-8', { place: { offset: start }, cause });
    }
    start = end + 1;
  }
  return named;
}

/** The table of names as it is compressed: sorted by the bytes of the name. */
export function encodeNamedRefs(named: ReadonlyMap<string, number>): Buffer {
  const entries = Array.from(named, ([name, index]) => ({ index, name: Buffer.from(name, 'utf8') }));
  entries.sort((a, b) => Buffer.compare(a.name, b.name));
  const nul = Buffer.alloc(1);
  return Buffer.concat(entries.flatMap(({ index, name }) => [Buffer.from(`${index}:`, 'latin1'), name, nul]));
}

/** Splits a table of raw digests into object ids. */
export function parseDigests(bytes: Buffer, algorithm: Algorithm): ObjectId[] {
  const size = DIGEST_SIZE[algorithm];
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.toString('hex', i * size, (i + 1) * size));
}

function isMagic(bytes: Buffer, at: number): boolean {
  return bytes.subarray(at, at + MAGIC.length).equals(MAGIC);
}

function readRange(bytes: Buffer, at: number, fileSize: number, section: string): Range {
  const start = bytes.readBigUInt64LE(at);
  const end = bytes.readBigUInt64LE(at + 8);
  if (start > end || end > BigInt(fileSize)) {
    throw new FormatError(
      'SPLITSTREAM_RANGE',
      `section ${section} is [${start}, ${end}) in a file of ${fileSize} bytes`,
    );
  }
  return { start: Number(start), end: Number(end) };
}

function writeRange(head: Buffer, at: number, start: number, length: number): number {
  head.writeBigUInt64LE(BigInt(start), at);
  head.writeBigUInt64LE(BigInt(start + length), at + 8);
  return start + length;
}
