import type { Abortable } from '../abortable.js';
import type { HttpResponse } from '../http/response.js';
import { HttpError } from '../http/http-error.js';
import { wait, waitBefore } from '../http/wait.js';
import type { RepositoryName } from '../spec/reference.js';
import { hasBlob } from './blobs.js';
import { RegistryError } from './registry-error.js';
import type { RegistryRepository } from './repository.js';

/** A blob that is to be stored in a registry. */
export interface BlobToPush {
  /** Its digest; a function when that is known only after the last byte, which is then called. */
  digest: string | (() => string);
  /** in bytes, when it is known */
  size?: number | undefined;
  /** Its bytes from an offset on. They are the same each time. A piece is valid until the next one is asked for. */
  open(from: number): AsyncIterable<Uint8Array>;
}

export interface PushBlobOptions extends Abortable {
  /** a repository of the same registry that may have the blob */
  mountFrom?: RepositoryName | undefined;
  /** where an earlier run was sending it to */
  resume?: URL | undefined;
  /** a place to send to was given; a later run may continue there */
  onLocation?: ((location: URL) => void) | undefined;
  /** so many bytes are there */
  onProgress?: ((bytes: number) => void) | undefined;
  /** sending begins at this offset: where an earlier run or a lost connection ended, or at the beginning */
  onStart?: ((from: number) => void) | undefined;
  /** something broke off, and sending is going to begin again */
  onRetry?: ((reason: Error) => void) | undefined;
  /** milliseconds before the second repetition, default 2 s */
  retryMs?: number;
}

/** What became of a blob: it was there, it was taken over from another repository, or its bytes were sent. */
export type PushedBlob = 'present' | 'mounted' | 'sent';

/** Up to this size a blob is sent in one piece with the request that ends the upload. */
const SMALL = 1 << 20;
/** A piece of so many bytes, more than a socket buffers in any version of Node, is sent before the next one is read. */
const BUFFERED = 128 << 10;
const RETRY_MS = 2000;
/** So many failures in a row are enough; one that brought the upload forward does not count. */
const MOST_FAILURES = 5;
const OCTETS = 'application/octet-stream';

/**
 * Stores a blob. What breaks off is continued where the registry says it is, or from the beginning where it does not
 * say.
 * @throws RegistryError, HttpError; what `open` throws
 */
export async function pushBlob(
  repository: RegistryRepository,
  blob: BlobToPush,
  options: PushBlobOptions = {},
): Promise<PushedBlob> {
  const { digest } = blob;
  if (typeof digest === 'string' && (await hasBlob(repository, { digest, size: blob.size }, options.signal)))
    return 'present';
  const upload = new Upload(repository, blob, options);
  return upload.run();
}

/**
 * Takes a blob over from another repository of the same registry.
 * @returns false where the registry does not do that, or not for this user
 * @throws HttpError
 */
export async function mountBlob(
  repository: RegistryRepository,
  digest: string,
  from: RepositoryName,
  signal?: AbortSignal,
): Promise<boolean> {
  const query = new URLSearchParams({ mount: digest, from: from.path });
  const what = 'the blob cannot be taken over';
  try {
    await using response = await repository.request({
      target: `blobs/uploads/?${query.toString()}`,
      method: 'POST',
      expect: [201, 202],
      scopes: [`repository:${from.path}:pull`],
      what,
      reference: digest,
      signal,
    });
    if (response.status === 201) return true;
    const location = response.header('location');
    if (location === undefined) return false;
    // It offers an upload instead, which nobody is going to use.
    const target = await repository.locate(response, 'location', location);
    await using _ = await repository.request({ target, method: 'DELETE', expect: [204, 202, 200], what, signal });
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
  }
  return false;
}

class Upload {
  readonly #repository: RegistryRepository;
  readonly #blob: BlobToPush;
  readonly #options: PushBlobOptions;
  #location: URL | undefined;
  /** Where bytes went whose fate is not known. */
  #lost: URL | undefined;
  /** The registry has taken this upload once. */
  #begun = false;
  /** So many bytes the registry has. */
  #offset = 0;
  /** Bytes were sent in more than one request. */
  #pieced = false;

  constructor(repository: RegistryRepository, blob: BlobToPush, options: PushBlobOptions) {
    this.#repository = repository;
    this.#blob = blob;
    this.#options = options;
  }

  async run(): Promise<PushedBlob> {
    const { mountFrom, resume, retryMs = RETRY_MS, onRetry, signal } = this.#options;
    if (
      mountFrom !== undefined &&
      typeof this.#blob.digest === 'string' &&
      (await this.#mount(mountFrom, this.#blob.digest))
    )
      return 'mounted';
    // Only the registry itself may say how far it is; the place was read from a file.
    if (resume !== undefined && (await this.#repository.owns(resume))) this.#lost = resume;
    for (let failures = 0; ; ) {
      const before = this.#offset;
      try {
        if (this.#lost !== undefined) await this.#askStatus(this.#lost);
        await this.#send();
        return 'sent';
      } catch (error) {
        if (!this.#mayPass(error)) throw error;
        failures = this.#offset > before ? 0 : failures + 1;
        if (failures > (isRefusal(error) ? 1 : MOST_FAILURES)) throw error;
        // Bytes that do not fit together do not become right by asking.
        if (isWrongDigest(error)) this.#lost = undefined;
        else this.#lost = this.#location ?? this.#lost;
        this.#location = undefined;
        onRetry?.(error);
        if (failures > 1) await wait(waitBefore(failures - 1, retryMs), signal);
      }
    }
  }

  /** Sends what is missing, and ends the upload. */
  async #send(): Promise<void> {
    const { digest, size } = this.#blob;
    if (this.#location === undefined) await this.#begin();
    this.#options.onStart?.(this.#offset);
    if (size !== undefined && size <= SMALL && this.#offset === 0 && typeof digest === 'string')
      return this.#finish(digest, await collect(this.#blob.open(0), size));
    if (size === undefined || this.#offset < size) await this.#patch(size);
    await this.#finish(typeof digest === 'string' ? digest : digest(), Buffer.alloc(0));
  }

  async #begin(): Promise<void> {
    await using response = await this.#request({ target: 'blobs/uploads/', method: 'POST', expect: [202] });
    await this.#keepLocation(response);
    this.#offset = 0;
    this.#pieced = false;
  }

  async #mount(from: RepositoryName, digest: string): Promise<boolean> {
    const query = new URLSearchParams({ mount: digest, from: from.path });
    try {
      await using response = await this.#request({
        target: `blobs/uploads/?${query.toString()}`,
        method: 'POST',
        expect: [201, 202],
        scopes: [`repository:${from.path}:pull`],
      });
      if (response.status === 201) return true;
      await this.#keepLocation(response);
    } catch (error) {
      // A user who may not read that repository can still send the blob.
      if (!(error instanceof RegistryError)) throw error;
    }
    return false;
  }

  async #patch(size: number | undefined): Promise<void> {
    const from = this.#offset;
    const headers = {
      'content-type': OCTETS,
      ...(size !== undefined && { 'content-length': String(size - from) }),
      ...(size !== undefined && from > 0 && { 'content-range': `${from}-${size - 1}` }),
    };
    if (from > 0) this.#pieced = true;
    const counted = new Counted(this.#blob.open(from), from, size, this.#options.onProgress);
    await using response = await this.#request({
      target: this.#location as URL,
      method: 'PATCH',
      headers,
      body: counted,
      expect: [202, 201, 204],
    }).catch((error: unknown) => {
      throw counted.failure ?? error;
    });
    await this.#keepLocation(response);
    const stored = storedBytes(response);
    this.#offset = counted.at;
    // A registry that took only a part says so; one that says nothing took all.
    if (stored !== undefined && stored < counted.at) {
      this.#offset = stored;
      throw new HttpError(
        'HTTP_CUT',
        response.url,
        `the registry has ${stored} of the ${counted.at} bytes that were sent`,
        { temporary: true },
      );
    }
  }

  async #finish(digest: string, body: Buffer): Promise<void> {
    const url = new URL(this.#location as URL);
    // Its query is the registry's and stays as it is, to the letter.
    url.search = `${url.search}${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(digest)}`;
    try {
      await using response = await this.#request({
        target: url,
        method: 'PUT',
        headers: { 'content-type': OCTETS },
        body,
        expect: [201, 204],
        reference: digest,
      });
      this.#options.onProgress?.(this.#offset + body.length);
      void response;
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      // The answer may have been lost, and then the upload is over.
      if (
        (error instanceof HttpError || error instanceof RegistryError) &&
        (await hasBlob(this.#repository, { digest, size: this.#blob.size }, this.#options.signal))
      )
        return;
      throw error;
    }
  }

  /** After a failure: how far is it? */
  async #askStatus(place: URL): Promise<void> {
    try {
      await using response = await this.#request({ target: place, method: 'GET', expect: [204] });
      this.#lost = undefined;
      const stored = storedBytes(response);
      // Some registries say `0-0` of nothing, which is what they say of one byte.
      if (stored === undefined || stored <= 1 || (this.#blob.size !== undefined && stored > this.#blob.size)) return;
      await this.#keepLocation(response, place);
      this.#offset = stored;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      // The upload is gone, or the registry does not tell: the blob is sent anew.
      this.#lost = undefined;
    }
  }

  async #keepLocation(response: HttpResponse, otherwise?: URL): Promise<void> {
    const header = response.header('location');
    if (header === undefined && otherwise === undefined && this.#location === undefined)
      throw this.#repository.error('it takes an upload but does not say where to');
    this.#location =
      header === undefined
        ? (otherwise ?? this.#location)
        : await this.#repository.locate(response, 'location', header);
    this.#begun = true;
    this.#options.onLocation?.(this.#location as URL);
  }

  #mayPass(error: unknown): error is Error {
    if (!this.#begun) return false;
    // A registry that is started anew refuses connections for a while.
    if (error instanceof HttpError) return error.temporary || error.code === 'HTTP_CONNECT';
    if (!(error instanceof RegistryError) || error.status === undefined) return false;
    if (isWrongDigest(error)) return this.#pieced;
    return error.status >= 500 || [401, 404, 408, 416, 429].includes(error.status);
  }

  #request(request: Omit<Parameters<RegistryRepository['request']>[0], 'what' | 'signal'>): Promise<HttpResponse> {
    const { digest } = this.#blob;
    const reference = typeof digest === 'string' ? digest : undefined;
    return this.#repository.request({
      reference,
      ...request,
      what: 'the blob cannot be stored',
      signal: this.#options.signal,
    });
  }
}

/** The bytes of a body, counted as they go. */
class Counted implements AsyncIterable<Uint8Array> {
  /** Where in the blob the next byte is. */
  at: number;
  /** What went wrong on this side. */
  failure: unknown;
  readonly #pieces: AsyncIterable<Uint8Array>;
  readonly #size: number | undefined;
  readonly #onProgress: ((bytes: number) => void) | undefined;

  constructor(
    pieces: AsyncIterable<Uint8Array>,
    from: number,
    size: number | undefined,
    onProgress: ((bytes: number) => void) | undefined,
  ) {
    this.#pieces = pieces;
    this.#size = size;
    this.#onProgress = onProgress;
    this.at = from;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      for await (const piece of this.#pieces) {
        this.at += piece.length;
        if (this.#size !== undefined && this.at > this.#size)
          throw new Error(`a blob has more than its ${this.#size} bytes`);
        // A small one waits in the connection's buffer while the next one comes, perhaps in the same memory.
        yield piece.length < BUFFERED ? Buffer.from(piece) : piece;
        this.#onProgress?.(this.at);
      }
      if (this.#size !== undefined && this.at < this.#size)
        throw new Error(`a blob has ${this.at} instead of ${this.#size} bytes`);
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}

/** A token may have ended in the middle; a second time it is what it says. */
function isRefusal(error: Error): boolean {
  return error instanceof RegistryError && error.status === 401;
}

function isWrongDigest(error: Error): boolean {
  return error instanceof RegistryError && error.serverCodes.includes('DIGEST_INVALID');
}

/** What the header Range says of an upload. */
function storedBytes(response: HttpResponse): number | undefined {
  const last = /^(?:bytes=)?0-(\d{1,15})$/.exec(response.header('range')?.trim() ?? '')?.[1];
  return last === undefined ? undefined : Number(last) + 1;
}

async function collect(pieces: AsyncIterable<Uint8Array>, size: number): Promise<Buffer> {
  const all = Buffer.allocUnsafe(size);
  let length = 0;
  for await (const piece of pieces) {
    if (length + piece.length > size) throw new Error(`a blob has more than its ${size} bytes`);
    // The next piece may come in the same memory.
    all.set(piece, length);
    length += piece.length;
  }
  if (length < size) throw new Error(`a blob has ${length} instead of ${size} bytes`);
  return all;
}
