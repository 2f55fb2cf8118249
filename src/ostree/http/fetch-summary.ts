import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { ByteString } from '../../bytes.js';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError } from '../../errors.js';
import { debug } from '../../debug.js';
import { OSTREE_SUMMARY_LIMIT } from '../../limits.js';
import type { Repository } from '../../repository/repository.js';
import { inPlace } from '../in-place.js';
import { sha256 } from '../object/checksum.js';
import type { SignatureCheck } from '../verify/signature-check.js';
import type { OstreeRemote } from './remote.js';
import { cacheSummary, readCachedSummary, summaryName } from './summary-cache.js';
import { parseSummary, subsetIn, type Summary } from './summary.js';

const inflate = promisify(gunzip);

/** Subsets are called as Rust calls processors. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
  ia32: 'x86',
  arm: 'arm',
  riscv64: 'riscv64',
  ppc64: 'powerpc64',
  s390x: 's390x',
  loong64: 'loongarch64',
};

export interface SummaryOptions {
  /** of a repository with an index; default: this machine's architecture */
  subset?: string | undefined;
  signal: AbortSignal;
  /** what must be signed, and by whom */
  check?: SignatureCheck | undefined;
  /** what users should know */
  onWarning?: ((text: string) => void) | undefined;
}

/**
 * What a repository says that it has: the subset that its index names, or else its summary. A summary that is the same
 * as last time is not sent again.
 * @returns undefined when there is neither; of a file that is no summary nothing
 * @throws BridgeError `OSTREE_STATUS` for an answer that is no summary, `OSTREE_SIGNATURE` for one that must be signed
 *   and is not; DigestMismatchError for another subset than the index says; HttpError
 */
export async function fetchSummary(
  remote: OstreeRemote,
  repository: Repository,
  options: SummaryOptions,
): Promise<Summary | undefined> {
  const bytes = (await fetchSubset(remote, repository, options)) ?? (await fetchWhole(remote, repository, options));
  if (bytes === undefined) return undefined;
  try {
    return parseSummary(bytes);
  } catch (error) {
    if (!(error instanceof FormatError) || options.check !== undefined) throw inPlace(error, remote.at('summary').href);
    options.onWarning?.(`${remote.at('summary').href} is no summary and is passed over: ${error.message}`);
    return { refs: new Map(), deltas: undefined, collection: undefined };
  }
}

async function fetchSubset(
  remote: OstreeRemote,
  repository: Repository,
  { subset = ARCHITECTURES[process.arch] ?? process.arch, signal, check }: SummaryOptions,
): Promise<Buffer | undefined> {
  let index: Buffer;
  let digest: string | undefined;
  try {
    await using response = await remote.request('summary.idx', { signal, expect: [200], retry: false });
    index = await response.bytes(OSTREE_SUMMARY_LIMIT);
    digest = subsetIn(index, subset);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof BridgeError)) throw error;
    debug(() => `ostree: no index of summaries: ${error.message}`);
    return undefined;
  }
  if (digest === undefined) return undefined;
  await check?.summary(index, async () => remote.bytes('summary.idx.sig', OSTREE_SUMMARY_LIMIT, signal));
  const name = summaryName(remote.url, subset);
  const cached = await readCachedSummary(repository, name, signal);
  if (cached !== undefined && sha256(cached.summary) === digest) return cached.summary;
  const path = `summaries/${digest}.gz`;
  const compressed = await remote.bytes(path, OSTREE_SUMMARY_LIMIT, signal);
  if (compressed === undefined)
    throw new NotFoundError(`${remote.at(path).href}, which the index of the repository names, is not there`);
  const summary = await inflated(compressed, remote.at(path));
  if (sha256(summary) !== digest) throw new DigestMismatchError(remote.at(path).href, digest, sha256(summary));
  await cacheSummary(repository, name, { etag: '', lastModified: '', summary });
  return summary;
}

async function inflated(bytes: Buffer, url: URL): Promise<Buffer> {
  try {
    return await inflate(bytes, { maxOutputLength: OSTREE_SUMMARY_LIMIT });
  } catch (cause) {
    throw new FormatError('COMPRESSION', `${url.href} is damaged, or too large`, { cause });
  }
}

async function fetchWhole(
  remote: OstreeRemote,
  repository: Repository,
  { signal, check }: SummaryOptions,
): Promise<Buffer | undefined> {
  const name = summaryName(remote.url);
  const cached = await readCachedSummary(repository, name, signal);
  const summary = await ask(remote, repository, name, cached, signal);
  if (summary !== undefined)
    await check?.summary(summary, async () => remote.bytes('summary.sig', OSTREE_SUMMARY_LIMIT, signal));
  return summary;
}

async function ask(
  remote: OstreeRemote,
  repository: Repository,
  name: ByteString,
  cached: Awaited<ReturnType<typeof readCachedSummary>>,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const headers: Record<string, string> = {};
  if (cached !== undefined && cached.etag !== '') headers['if-none-match'] = cached.etag;
  else if (cached !== undefined && cached.lastModified !== '') headers['if-modified-since'] = cached.lastModified;
  const known = Object.keys(headers).length > 0;
  const expect = known ? [200, 304, 404, 410] : [200, 404, 410];
  await using response = await remote.request('summary', { headers, signal, expect });
  if (response.status === 304) return cached?.summary;
  if (response.status !== 200) return undefined;
  const summary = await response.bytes(OSTREE_SUMMARY_LIMIT);
  const [etag = '', lastModified = ''] = [response.header('etag'), response.header('last-modified')];
  if (etag !== '' || lastModified !== '') await cacheSummary(repository, name, { etag, lastModified, summary });
  return summary;
}
