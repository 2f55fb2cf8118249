import { printable } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { DOCUMENT_LIMIT } from '../../limits.js';
import { DELTA_ANNOTATION, DELTA_CONTENT, isDelta, PATCH_TYPE } from '../../spec/delta.js';
import { parseImage } from '../../spec/image.js';
import { checkDigest, isDigest, parseManifest, type Manifest } from '../../spec/manifest.js';
import type { BlobSource, ImageSource } from '../source/source.js';

/** What there is to make a layer of. */
interface DeltaLayer {
  kind: 'patch' | 'whole';
  blob: BlobSource;
}

/** A delta that was read, but for its layers. */
export interface Delta {
  /** of the image that is changed */
  sourceConfig: string;
  /** of the new image, exactly as published */
  manifest: Buffer;
  config: Buffer;
  /** base first; one without a blob has to be there already */
  layers: readonly { diffId: string; digest: string; made: DeltaLayer | undefined }[];
  /** blobs of embedded signatures: manifests, and what they list, by digest */
  signatures: readonly BlobSource[];
  statements: ReadonlyMap<string, BlobSource>;
}

/** An entry of the artifact. */
interface Entry {
  content: string | undefined;
  to: string | undefined;
  mediaType: string;
  blob: BlobSource;
}

/**
 * Whether what a source has is a delta, which `applyDelta` makes an image of: its manifest says so.
 * @throws FormatError `DELTA` for one of a type that is not known
 * @example
 * ```ts
 * import { isDeltaSource, openSource } from 'composefs-bridge';
 *
 * await using source = await openSource('oci:/srv/delta');
 * console.log(isDeltaSource(source)); // true
 * ```
 */
export function isDeltaSource(source: ImageSource): boolean {
  if (source.blobs === undefined) return false;
  const artifact = parseManifest(source.manifest);
  if (isDelta(artifact)) return true;
  // Of a later version, say: as an artifact it would be of no use to anybody.
  if (artifact.layers.some(({ annotations }) => annotations?.[DELTA_ANNOTATION.content] !== undefined))
    throw wrong(`it is of a type that is not known here, ${printable(artifact.artifactType ?? 'none')}`);
  return false;
}

/**
 * Reads a delta's documents and checks all that can be checked before its layers are read.
 * @throws FormatError `DELTA` for what is no delta; DigestMismatchError for documents that are not what they are
 *   called; what the source throws
 */
export async function readDelta(source: ImageSource, signal: AbortSignal): Promise<Delta> {
  const artifact = parseManifest(source.manifest);
  const entries = entriesOf(artifact, source);
  const sourceConfig = sourceConfigOf(artifact);
  const manifest = await readDocument('manifest', DELTA_CONTENT.manifest, entries, signal);
  const config = await readDocument('config', DELTA_CONTENT.config, entries, signal);
  const parsed = parseImage(manifest, config);
  if (parsed.config === undefined) throw wrong('its embedded manifest is not that of a container image');
  return {
    sourceConfig,
    manifest,
    config,
    layers: layersOf(parsed.manifest, parsed.config.rootfs.diff_ids, entries),
    signatures: entries.filter(({ content }) => content === DELTA_CONTENT.signature).map(({ blob }) => blob),
    statements: new Map(
      entries
        .filter(({ content }) => content === DELTA_CONTENT.signatureContent)
        .map(({ blob }) => [blob.digest, blob]),
    ),
  };
}

/**
 * A blob of a delta that is a document.
 * @throws FormatError `FILE_TOO_LARGE`, `BLOB_SIZE`; DigestMismatchError
 */
export async function readSmallBlob(what: string, blob: BlobSource, signal: AbortSignal): Promise<Buffer> {
  const { digest, size } = blob;
  if (size > DOCUMENT_LIMIT)
    throw new FormatError('FILE_TOO_LARGE', `${what} of ${size} bytes, at most ${DOCUMENT_LIMIT} are accepted`);
  await using source = await blob.open({ signal });
  const bytes = Buffer.allocUnsafe(size);
  let length = 0;
  for await (const piece of source) {
    if (length + piece.length > size) throw sizeError(what, blob);
    length += piece.copy(bytes, length);
  }
  if (length !== size) throw sizeError(what, blob);
  checkDigest(what, digest, bytes);
  return bytes;
}

function entriesOf({ layers }: Manifest, { blobs = [] }: ImageSource): Entry[] {
  return layers.map(({ annotations, mediaType, digest, size }, index) => {
    const blob = blobs[index];
    if (blob === undefined || blob.digest !== digest || blob.size !== size)
      throw wrong('its source has other blobs than its manifest lists');
    return {
      content: annotations?.[DELTA_ANNOTATION.content],
      to: annotations?.[DELTA_ANNOTATION.to],
      mediaType,
      blob,
    };
  });
}

function sourceConfigOf({ annotations }: Manifest): string {
  const digest = annotations?.[DELTA_ANNOTATION.sourceConfig];
  if (digest === undefined) throw wrong('it does not say which image it changes');
  if (!isDigest(digest)) throw wrong('what it says of the image that it changes is no digest');
  return digest;
}

async function readDocument(
  what: string,
  content: string,
  entries: readonly Entry[],
  signal: AbortSignal,
): Promise<Buffer> {
  const entry = entries.find((candidate) => candidate.content === content);
  if (entry === undefined) throw wrong(`it has no ${what} of the new image`);
  return readSmallBlob(`embedded ${what}`, entry.blob, signal);
}

function layersOf(manifest: Manifest, diffIds: readonly string[], entries: readonly Entry[]): Delta['layers'] {
  const made = new Map<string, DeltaLayer>();
  for (const { content, to, mediaType, blob } of entries) {
    if (content !== DELTA_CONTENT.layer || to === undefined || to === '') continue;
    if (!isDigest(to)) throw wrong('a blob says of no digest that it makes that layer');
    if (!manifest.layers.some(({ digest }) => digest === to))
      throw wrong(`it makes layer ${to}, which the new image does not have`);
    // Of two for the same layer, the last counts.
    made.set(to, { kind: mediaType === PATCH_TYPE ? 'patch' : 'whole', blob });
  }
  if (manifest.layers.length !== diffIds.length)
    throw wrong(`the new image's manifest lists ${manifest.layers.length} layers, its config ${diffIds.length}`);
  return manifest.layers.map(({ digest }, index) => ({
    diffId: diffIds[index] as string,
    digest,
    made: made.get(digest),
  }));
}

function wrong(message: string): FormatError {
  return new FormatError('DELTA', `the delta cannot be applied: ${message}`);
}

function sizeError(what: string, { digest, size }: BlobSource): FormatError {
  return new FormatError('BLOB_SIZE', `${what} ${digest} has another size than the ${size} bytes its descriptor says`);
}
