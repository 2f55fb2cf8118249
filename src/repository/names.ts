// What everything in a repository is called. Nobody else spells these: a test looks for that.
import { randomBytes } from 'node:crypto';
import { bytesOf, type ByteString } from '../bytes.js';
import { objectPath, type ObjectId } from '../fsverity/object-id.js';

/** Which hash it uses, and which features; without it there is no repository. */
export const META = 'meta.json';
/** Content by fs-verity digest. */
export const OBJECTS = 'objects';
/** Splitstreams by their content ids. */
export const STREAMS = 'streams';
/** EROFS images by their digests. */
export const IMAGES = 'images';
/** Marks of what was hashed once, by the names of streams; see `oci/pull/verified`. */
export const VERIFIED = 'verified';
/** What a repair moved out of the way. */
export const QUARANTINE = 'quarantine';
/** Where a migration keeps its work. */
export const MIGRATING = 'migrating';
/** The beginnings of large blobs, see `KeptParts`. */
export const PARTS = '.partial';
/** What pushes note for later ones, see `PushNotes`. */
export const PUSH_NOTES = '.push';

/** The two kinds of things a repository has names for. */
export type Area = 'images' | 'streams';
/** Images first, as `gc` and `fsck --repair` report them. */
export const AREAS: readonly Area[] = [IMAGES, STREAMS];

/** Below each area: names that people give, which keep what they lead to. */
const REFS = 'refs';
/** The refs of streams that are tags: their file names are below it. */
export const TAGS = 'oci';
/** The refs of streams that are names of ostree commits: their file names are below it. */
export const OSTREE_REFS = 'ostree';
/**
 * The same for those that are not kept as cfsctl keeps them. They are apart: to names among the others cfsctl would add
 * the image that it makes.
 */
export const OSTREE_VARIANT_REFS = 'ostree-variants';
/** The refs of streams that keep one manifest as long as another: `<subject's digest>/<digest>` are below it. */
const REFERRERS = 'oci-referrers';

/** The path of an object. */
export function pathOfObject(id: ObjectId): ByteString {
  return `${OBJECTS}/${objectPath(id)}`;
}

/** The path of what lies in the folder of objects, under `path`. */
export function pathAmongObjects(path: ByteString): ByteString {
  return `${OBJECTS}/${path}`;
}

/** The part of a path that is below the folder of objects; undefined when that is not where it leads. */
export function belowObjects(path: ByteString): ByteString | undefined {
  return path.startsWith(`${OBJECTS}/`) ? path.slice(OBJECTS.length + 1) : undefined;
}

/** The path of a name. */
export function pathOfName(area: Area | typeof VERIFIED, name: ByteString): ByteString {
  return `${area}/${name}`;
}

/** The folder of an area's refs. */
export function refsOf(area: Area): ByteString {
  return `${area}/${REFS}`;
}

/** The path of a ref. */
export function pathOfRef(area: Area, ref: ByteString): ByteString {
  return `${area}/${REFS}/${ref}`;
}

/** Whether an entry of an area's folder is a name, and not the folder of its refs. */
export function isName(entry: ByteString): boolean {
  return entry !== REFS;
}

/** The ref that a person means by a name with `refs/` in front; undefined without that. */
export function askedRef(name: string): string | undefined {
  return name.startsWith(`${REFS}/`) ? name.slice(REFS.length + 1) : undefined;
}

/** How a ref is written where names can stand, too. */
export function shownRef(ref: string): string {
  return `${REFS}/${ref}`;
}

const MANIFEST = 'oci-manifest-';
const CONFIG = 'oci-config-';
const LAYER = 'oci-layer-';
const REPLACED = 'replaced-';
const OSTREE_COMMIT = 'ostree-commit-';
const OSTREE_VARIANT = 'ostree-variant-';

/** The stream of an image's manifest. */
export function manifestContentId(digest: string): ByteString {
  return bytesOf(MANIFEST + digest);
}

/** The stream of an image's config. */
export function configContentId(digest: string): ByteString {
  return bytesOf(CONFIG + digest);
}

/** The stream of a layer, by its diff_id, or of an artifact's blob, by its digest. */
export function layerContentId(digest: string): ByteString {
  return bytesOf(LAYER + digest);
}

/** Mark of a layer that was unpacked from a blob, with all that was found out about the blob; see `oci/pull/packed`. */
export function packedMark(blob: { compression: string; size: number; digest: string }): ByteString {
  return bytesOf(`oci-packed-${blob.compression}-${blob.size}-${blob.digest}`);
}

/** The stream of an ostree commit. @param id 64 hex digits */
export function commitContentId(id: string): ByteString {
  return OSTREE_COMMIT + id;
}

/** The id of the ostree commit whose stream has this name; undefined for the name of another stream. */
export function commitOf(contentId: ByteString): string | undefined {
  const id = contentId.startsWith(OSTREE_COMMIT) ? contentId.slice(OSTREE_COMMIT.length) : '';
  return /^[0-9a-f]{64}$/.test(id) ? id : undefined;
}

/**
 * The stream of an ostree commit that is not kept as cfsctl keeps it.
 * @param id 64 hex digits
 * @param key 32 hex digits, which say how it is kept
 */
export function variantContentId(id: string, key: string): ByteString {
  return `${OSTREE_VARIANT}${id}-${key}`;
}

/** Whether this is the name of a stream of an ostree commit, however it is kept. */
export function isCommitStream(contentId: ByteString): boolean {
  return commitOf(contentId) !== undefined || variantOf(contentId) !== undefined;
}

/** The id of the ostree commit, where it is not kept as cfsctl keeps it; undefined for the name of another stream. */
export function variantOf(contentId: ByteString): string | undefined {
  const name = contentId.startsWith(OSTREE_VARIANT) ? contentId.slice(OSTREE_VARIANT.length) : '';
  return /^([0-9a-f]{64})-[0-9a-f]{32}$/.exec(name)?.[1];
}

/** How the stream of an ostree commit calls its EROFS image, whatever version that has. */
export const COMMIT_IMAGE_REF = 'composefs.image';

/** The name of a stream that lost its own to another one, see `Repository.linkStreams`. */
export function replacedContentId(id: ObjectId): ByteString {
  return REPLACED + id;
}

/** What the content of a stream is called by, where its name has the form of one that a pull gives. */
export function parseContentId(contentId: ByteString): { kind: string; digest: string } | undefined {
  const [, kind, digest] = /^oci-(layer|config|manifest|blob)-(sha256:[0-9a-f]{64})$/.exec(contentId) ?? [];
  return kind === undefined || digest === undefined ? undefined : { kind, digest };
}

/** What stands where a manifest's digest does; undefined for the name of another stream. */
export function manifestOf(contentId: ByteString): string | undefined {
  return contentId.startsWith(MANIFEST) ? contentId.slice(MANIFEST.length) : undefined;
}

/** What stands where a layer's diff_id, or a blob's digest, does; undefined for the name of another stream. */
export function layerOf(contentId: ByteString): string | undefined {
  return contentId.startsWith(LAYER) ? contentId.slice(LAYER.length) : undefined;
}

/** Whether this is the path of such a name. */
export function isReplacedPath(path: ByteString): boolean {
  return path.startsWith(`${STREAMS}/${REPLACED}`);
}

/** Names of what a source or a rebuild can give: manifests, configs, layers, images and commits. */
const RESTORABLE = new RegExp(`^((${MANIFEST}|${CONFIG}|${LAYER})sha\\d+:[0-9a-f]+|[0-9a-f]{64,128})$`);

export function isRestorable(name: ByteString): boolean {
  return RESTORABLE.test(name) || isCommitStream(name);
}

/** How the stream of a manifest calls that of its config. */
export function configRefName(digest: string): string {
  return `config:${digest}`;
}

/**
 * Whether a stream's reference of this name leads to another stream: a layer by diff_id or blob digest, a config.
 * Others may be images.
 */
export function isStreamRef(name: string): boolean {
  return /^(config:)?sha(256|384|512):/.test(name);
}

/** Whether a stream's reference of this name leads to a layer or blob. */
export function isLayerRef(name: string): boolean {
  return /^sha(256|384|512):/.test(name);
}

/** The ref, in the area of streams, that keeps a manifest as long as the one it belongs to. */
export function referrerRef(subject: string, digest: string): ByteString {
  return bytesOf(`${REFERRERS}/${subject}/${digest}`);
}

/** Below which ref the referrers of a manifest are. */
export function referrersOf(subject: string): ByteString {
  return bytesOf(`${REFERRERS}/${subject}`);
}

/**
 * The manifest that a referrer belongs to.
 * @param path of its ref
 * @returns its content id; undefined for the path of another ref
 */
export function subjectOf(path: ByteString): ByteString | undefined {
  const parts = path.split('/');
  const [area, refs, folder, subject] = parts;
  return area === STREAMS && refs === REFS && folder === REFERRERS && parts.length === 5 && subject !== undefined
    ? MANIFEST + subject
    : undefined;
}

/** A symlink that is renamed at once; one that stays is left over from a crash. */
export function temporaryLinkName(): ByteString {
  return `.symlink-${randomBytes(6).toString('hex')}`;
}

export function isTemporaryLink(name: ByteString): boolean {
  return /^\.symlink-[0-9A-Za-z]{12}$/.test(name);
}

/** What cfsctl leaves in the folder of objects after a crash. @param name below that folder */
export function isTemporaryObject(name: ByteString): boolean {
  return /^\.tmp-object-[0-9A-Za-z]+$/.test(name);
}

/** A folder where the objects of an import wait, see `Staging`. */
export function stagingName(): ByteString {
  return `.staging-${randomBytes(12).toString('hex')}`;
}

export function isStaging(name: ByteString): boolean {
  return /^\.staging-[0-9a-f]{24}$/.test(name);
}
