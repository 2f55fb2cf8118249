import type { Abortable } from '../../abortable.js';
import * as z from 'zod';
import { FormatError, NoImageError, NotFoundError } from '../../errors.js';
import { DOCUMENT_LIMIT, LAYOUT_LIMIT } from '../../limits.js';
import type { Admit, PolicySubject } from '../../registry/policy/image-to-check.js';
import { ArchiveFiles } from './blobs/archive-files.js';
import { blobImage, ofFiles } from './blobs/blob-image.js';
import { FileBlobs } from './blobs/blobs.js';
import { FolderFiles } from './blobs/folder-files.js';
import type { ImageFiles } from './blobs/image-files.js';
import { isDigest, parseIndex, type Descriptor } from '../../spec/manifest.js';
import type { Platform } from '../../spec/platform.js';
import { isIndexType, isManifestType, selectManifest } from './select-manifest.js';
import { besideImage } from './beside-image.js';
import type { ImageSource } from './source.js';
import { splitPath } from './split-path.js';
import { pathSubject } from './subject.js';

const REF_NAME = 'org.opencontainers.image.ref.name';

const layout = z.object({ imageLayoutVersion: z.literal('1.0.0') });

export interface LayoutOptions extends Abortable {
  /** default: the one this program runs on */
  platform?: Platform | undefined;
  /** decides whether the image may come in; default: it may */
  admit?: Admit | undefined;
  /** a folder that has the blobs of several layouts, instead of the one in the layout */
  sharedBlobDir?: string | undefined;
}

/**
 * An image in an OCI image layout.
 * @param place path of the layout's folder, and with a colon the name in its index, or the digest of a manifest; that
 *   may be left out where only one image suits
 * @throws NotFoundError, FormatError, DigestMismatchError; BridgeError `PLATFORM`, `AMBIGUOUS_IMAGE`, `POLICY`
 */
export async function openLayoutImage(place: string, options: LayoutOptions = {}): Promise<ImageSource> {
  const { path, name } = splitPath(place);
  const files = FolderFiles.open(path);
  if (options.sharedBlobDir === undefined) return openLayout(files, name, () => pathSubject('oci', path), options);
  try {
    return await openLayout(
      files,
      name,
      () => pathSubject('oci', path),
      options,
      FolderFiles.open(options.sharedBlobDir),
    );
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

/**
 * The same for a layout in a tar, which may be compressed.
 * @param place path of the tar, and the image in it
 */
export async function openLayoutArchive(place: string, options: LayoutOptions = {}): Promise<ImageSource> {
  const { path, name } = splitPath(place);
  return openLayout(await ArchiveFiles.open(path, options), name, () => pathSubject('oci-archive', path), options);
}

async function openLayout(
  files: ImageFiles,
  tag: string | undefined,
  subject: () => PolicySubject,
  { platform, admit, signal }: LayoutOptions,
  shared?: FolderFiles,
): Promise<ImageSource> {
  try {
    checkLayout(files);
    using index = files.open('index.json');
    if (index === undefined) throw new NotFoundError(`${files.shown} is no OCI layout: it has no index.json`);
    const { manifests } = parseIndex(index.read(DOCUMENT_LIMIT));
    const blobs = new FileBlobs(
      shared ?? files,
      ({ digest }) => `${shared === undefined ? 'blobs/' : ''}${digest.replace(':', '/')}`,
    );
    const chosen = tag === undefined ? { listed: manifests } : tagged(manifests, tag);
    const manifest = await selectManifest(chosen.listed, blobs, platform, chosen);
    // The format has no place for signatures that skopeo would look at.
    await admit?.({ subject: subject(), manifest, signatures: async () => [] }, { signal });
    const holder = ofFiles(files);
    const [outermost, ...more] = chosen.listed;
    const list =
      outermost !== undefined && more.length === 0 && isIndexType(outermost.mediaType)
        ? await blobs.read('image index', outermost)
        : undefined;
    return await blobImage(manifest, blobs, {
      ...holder,
      extras: () => besideImage(list),
      trusted: holder.trusted && shared?.trusted !== false,
      close: async () => {
        shared?.[Symbol.dispose]();
        await holder.close();
      },
    });
  } catch (error) {
    shared?.[Symbol.dispose]();
    files[Symbol.dispose]();
    throw error;
  }
}

function checkLayout(files: ImageFiles): void {
  using file = files.open('oci-layout');
  if (file === undefined) throw new NotFoundError(`${files.shown} is no OCI layout: it has no file oci-layout`);
  try {
    layout.parse(JSON.parse(file.read(LAYOUT_LIMIT).toString('utf8')));
  } catch (cause) {
    throw new FormatError('LAYOUT_INVALID', `${files.shown} is no OCI layout of version 1.0.0`, { cause });
  }
}

/** Images have names, or none, and then are chosen by their digest. */
function tagged(manifests: readonly Descriptor[], tag: string): { listed: readonly Descriptor[]; digest?: string } {
  const listed = manifests.filter(({ annotations }) => annotations?.[REF_NAME] === tag);
  if (listed.length > 0) {
    const types = listed.map(({ mediaType }) => mediaType);
    if (types.some((type) => isIndexType(type) || isManifestType(type))) return { listed };
    const shown = types.map((type) => JSON.stringify(type)).join(' ');
    throw new FormatError('LAYOUT_INVALID', `reference "${tag}" matches unsupported manifest MIME types [${shown}]`);
  }
  if (isDigest(tag)) return { listed: manifests, digest: tag };
  const names = manifests.map(({ annotations, digest }) => annotations?.[REF_NAME] ?? digest);
  throw new NoImageError(`the layout has no image "${tag}"; it has ${names.slice(0, 20).join(', ') || 'none at all'}`);
}
