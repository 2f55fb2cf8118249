import { FormatError } from '../errors.js';
import { ResumableBody, type ResumableOptions } from '../http/resumable.js';
import type { HttpResponse } from '../http/response.js';
import { checkDigest, type BlobFacts } from '../spec/manifest.js';
import { RegistryError } from './registry-error.js';
import type { RegistryRepository } from './repository.js';

/** What is known of a blob before it is read. */
export interface RegistryBlob {
  digest: string;
  /** in bytes; there may be any number when it is left out */
  size?: number | undefined;
  /** where a foreign layer can be had if the registry does not have it */
  urls?: readonly string[] | null | undefined;
}

export interface BlobOptions extends Omit<ResumableOptions, 'size'> {
  /** a repository did not answer well, and the next one is asked */
  onPassedOver?: ((repository: RegistryRepository, error: unknown) => void) | undefined;
}

/** A body, or a part of one, or that there is no such part. */
const BODY = [200, 206, 416];

/**
 * The bytes of a blob, of which there are never more than its size says. They are not verified.
 * @param repositories to ask, one after the other: when one does not answer well, the next one continues
 */
export function openBlob(
  repositories: readonly RegistryRepository[],
  blob: RegistryBlob,
  options: BlobOptions = {},
): ResumableBody {
  const { onPassedOver, ...resumable } = options;
  let asked = 0;
  return new ResumableBody(
    async (headers, signal) => {
      for (; ; asked++) {
        try {
          return await fetchBlob(repositories[asked] as RegistryRepository, blob, headers, signal);
        } catch (error) {
          if (signal.aborted || asked + 1 >= repositories.length) throw error;
          onPassedOver?.(repositories[asked] as RegistryRepository, error);
        }
      }
    },
    { ...resumable, size: blob.size },
  );
}

/**
 * All of a small blob, verified.
 * @param what names it in messages
 * @throws FormatError `FILE_TOO_LARGE` beyond `limit` bytes; RegistryError, DigestMismatchError, HttpError
 */
export async function readBlob(
  repositories: readonly RegistryRepository[],
  what: string,
  blob: RegistryBlob & BlobFacts,
  limit: number,
  options: BlobOptions = {},
): Promise<Buffer> {
  if (blob.size > limit)
    throw new FormatError(
      'FILE_TOO_LARGE',
      `${what} ${blob.digest} has ${blob.size} bytes, at most ${limit} are accepted`,
    );
  await using body = openBlob(repositories, blob, options);
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  checkDigest(what, blob.digest, bytes);
  return bytes;
}

/** Whether a registry has a blob. One that has another length under its name is as good as none. */
export async function hasBlob(
  repository: RegistryRepository,
  { digest, size }: { digest: string; size?: number | undefined },
  signal?: AbortSignal,
): Promise<boolean> {
  await using response = await repository.request({
    target: `blobs/${digest}`,
    method: 'HEAD',
    expect: [200, 404, 405],
    what: 'the blob cannot be looked for',
    reference: digest,
    signal,
  });
  return response.status === 200 && (size === undefined || response.length === undefined || response.length === size);
}

async function fetchBlob(
  repository: RegistryRepository,
  { digest, urls }: RegistryBlob,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HttpResponse> {
  try {
    return await repository.request({
      target: `blobs/${digest}`,
      headers,
      expect: BODY,
      what: 'the blob cannot be read',
      reference: digest,
      signal,
    });
  } catch (error) {
    if (!(error instanceof RegistryError && error.code === 'NOT_FOUND' && urls?.length)) throw error;
    return fetchForeign(repository, urls, headers, signal, error);
  }
}

/** The author of the manifest chose these URLs, so they get no credentials of any kind. */
async function fetchForeign(
  repository: RegistryRepository,
  urls: readonly string[],
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  missing: RegistryError,
): Promise<HttpResponse> {
  for (const text of urls.slice(0, 8)) {
    if (!URL.canParse(text)) continue;
    const url = new URL(text);
    if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') continue;
    const response = await repository.client.request({ url, headers, signal }).catch(() => undefined);
    if (response !== undefined && BODY.includes(response.status)) return response;
    await response?.[Symbol.asyncDispose]();
  }
  throw missing;
}
