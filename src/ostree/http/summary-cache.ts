// Summaries as they were when they were last asked for, in streams of the repository that nothing refers to: gc takes
// them away. In each is one run of bytes, as cfsctl writes it:
//
//   u16 LE, u16 LE    lengths of ETag and Last-Modified
//   32 bytes          SHA-256 of the summary
//   ETag, Last-Modified, the summary
import { createHash } from 'node:crypto';
import { bytesOf, type ByteString } from '../../bytes.js';
import { BridgeError, FormatError } from '../../errors.js';
import { OSTREE_SUMMARY_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { SplitstreamWriter } from '../../repository/splitstream/writer.js';
import { sha256 } from '../object/checksum.js';

const HEAD = 36;
const NAME_CHARACTERS = 60;

export interface CachedSummary {
  readonly etag: string;
  readonly lastModified: string;
  readonly summary: Buffer;
}

/**
 * What the summary of a repository is kept as. Two servers on one host, or two repositories of one server, never share
 * it. @param subset of a repository with an index
 */
export function summaryName(url: URL, subset?: string): ByteString {
  const key = createHash('sha256').update(`${url.origin}${url.pathname}${url.search}`).digest('hex').slice(0, 32);
  const readable = `${url.hostname}${url.pathname}`.replace(/[^A-Za-z0-9._]+/g, '-').slice(0, NAME_CHARACTERS);
  const name = `${readable.replace(/-+$/, '')}-${key}`;
  if (subset === undefined) return `ostree-summary-${name}`;
  return bytesOf(`ostree-subsummary-${subset.replace(/[^A-Za-z0-9._-]+/g, '_').slice(0, NAME_CHARACTERS)}-${name}`);
}

/** The summary under a name; undefined when there is none, or it is damaged. */
export async function readCachedSummary(
  repository: Repository,
  name: ByteString,
  signal: AbortSignal,
): Promise<CachedSummary | undefined> {
  try {
    const stream = repository.streamObject(name);
    return stream === undefined ? undefined : parse(await readAll(repository, stream, signal));
  } catch (error) {
    if (error instanceof BridgeError) return undefined;
    throw error;
  }
}

/** Keeps a summary under a name. */
export async function cacheSummary(repository: Repository, name: ByteString, kept: CachedSummary): Promise<void> {
  const [etag, lastModified] = [Buffer.from(kept.etag, 'latin1'), Buffer.from(kept.lastModified, 'latin1')];
  if (etag.length > 0xffff || lastModified.length > 0xffff) return;
  const head = Buffer.alloc(HEAD);
  head.writeUInt16LE(etag.length, 0);
  head.writeUInt16LE(lastModified.length, 2);
  head.write(sha256(kept.summary), 4, 'hex');
  const writer = new SplitstreamWriter(CONTENT_TYPES.ostreeSummary, repository.algorithm);
  await writer.chunk([head, etag, lastModified, kept.summary]);
  await repository.linkStream(name, await repository.objects.put(await writer.finish()));
}

async function readAll(repository: Repository, stream: string, signal: AbortSignal): Promise<Buffer> {
  using reader = repository.openStream(stream);
  if (reader.contentType !== CONTENT_TYPES.ostreeSummary || reader.streamSize > OSTREE_SUMMARY_LIMIT)
    throw new FormatError('CONTENT_TYPE', 'no summary of an ostree repository');
  const bytes: Buffer[] = [];
  for await (const pieces of reader.batches(signal))
    for (const piece of pieces) if (piece.kind !== 'object') bytes.push(Buffer.from(piece.bytes));
  return Buffer.concat(bytes);
}

function parse(bytes: Buffer): CachedSummary | undefined {
  if (bytes.length < HEAD) return undefined;
  const etagEnd = HEAD + bytes.readUInt16LE(0);
  const end = etagEnd + bytes.readUInt16LE(2);
  const summary = bytes.subarray(end);
  if (end > bytes.length || sha256(summary) !== bytes.toString('hex', 4, HEAD)) return undefined;
  return {
    etag: bytes.toString('latin1', HEAD, etagEnd),
    lastModified: bytes.toString('latin1', etagEnd, end),
    summary,
  };
}
