// Which layer streams are known to be what their name says. The reference trusts the name alone, and stores
// under it what it never hashed; so a stream counts only when this program hashed it while importing, or here.
import type { Abortable } from '../../abortable.js';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { objectTarget, readLink } from '../../repository/links.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { hasOurFolders, isOurs, writeOurLink } from '../../repository/ours.js';
import type { Repository } from '../../repository/repository.js';
import { layerContentId, pathOfName, pathOfObject, STREAMS, VERIFIED } from '../../repository/names.js';
import { RepositoryLayer } from '../image/repository-layer.js';
import { TarHasher } from '../image/tar-hasher.js';

/**
 * Whether this stream was found to be the layer before. Anybody could have made a mark, or the name of another stream,
 * in a repository that was not always ours alone: it counts only where root or the caller made both, and nobody else
 * can write the folders they are in and those of the objects.
 */
export function isVerified(repository: Repository, diffId: string, stream: ObjectId): boolean {
  const name = layerContentId(diffId);
  return isMarked(repository, name, stream) && isOurs(repository, pathOfName(STREAMS, name)) !== false;
}

/** Whether a mark leads to this stream, and is to be believed. */
export function isMarked(repository: Repository, name: ByteString, stream: ObjectId): boolean {
  const mark = pathOfName(VERIFIED, name);
  if (readLink(repository.root, mark) !== objectTarget(stream) || !hasOurFolders(repository)) return false;
  return [mark, pathOfObject(stream)].every((path) => isOurs(repository, path) !== false);
}

/** Remembers that this stream is the layer; to be called only after its tar was hashed. */
export function markVerified(repository: Repository, diffId: string, stream: ObjectId): void {
  const name = layerContentId(diffId);
  writeOurLink(repository, pathOfName(VERIFIED, name), objectTarget(stream));
  // What was verified may still have the name that somebody else gave it.
  const path = pathOfName(STREAMS, name);
  if (isOurs(repository, path) === false) writeOurLink(repository, path, objectTarget(stream));
}

/**
 * Puts a stored layer's tar together and hashes it, in the native pool and in constant memory.
 * @param diffId `sha256:…`
 * @throws DigestMismatchError when the tar is another one; NotFoundError when objects are missing; FormatError when the
 *   stream is damaged
 * @example
 * ```ts
 * import { openImage, Repository, verifyLayerStream } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { config, configStream } = await openImage(repository, 'debian');
 * for (const diffId of config?.rootfs.diff_ids ?? []) {
 *   const stream = configStream.namedRefs.get(diffId);
 *   if (stream !== undefined) await verifyLayerStream(repository, diffId, stream);
 *   console.log(diffId, 'is right'); // sha256:… is right
 * }
 * ```
 */
export async function verifyLayerStream(
  repository: Repository,
  diffId: string,
  stream: ObjectId,
  { signal }: Abortable = {},
): Promise<void> {
  const hasher = new TarHasher(repository.objects);
  await using layer = new RepositoryLayer(repository, stream, signal);
  // What a few bytes of a stream stand for may take the pool minutes.
  using _ = hasher.stopOn(signal);
  try {
    for await (const chunks of layer) await hasher.take(chunks);
    await hasher.check(diffId);
  } catch (error) {
    await hasher.abandon();
    signal?.throwIfAborted();
    throw error;
  }
  if (BigInt(hasher.size) !== layer.declaredSize)
    throw new FormatError(
      'SPLITSTREAM_SIZE',
      `the stream declares ${layer.declaredSize} bytes and has ${hasher.size}`,
      { place: { layer: diffId } },
    );
}
