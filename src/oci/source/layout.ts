import * as z from 'zod';
import { FormatError, NotFoundError } from '../../errors.js';
import { ArchiveFiles } from '../blob/archive-files.js';
import { blobImage } from '../blob/blob-image.js';
import { Blobs } from '../blob/blobs.js';
import { FolderFiles } from '../blob/folder-files.js';
import type { ImageFiles } from '../blob/image-files.js';
import { JSON_LIMIT, parseIndex, type Descriptor, type Platform } from '../manifest.js';
import { hostPlatform } from './platform.js';
import { selectManifest } from './select-manifest.js';
import type { ImageSource } from './source.js';

const REF_NAME = 'org.opencontainers.image.ref.name';
const LAYOUT_LIMIT = 4096;

const layout = z.object({ imageLayoutVersion: z.literal('1.0.0') });

export interface LayoutOptions {
  /** the name in the layout's index; may be left out where only one image suits */
  tag?: string | undefined;
  /** default: the one this program runs on */
  platform?: Platform | undefined;
}

/**
 * An image in an OCI image layout.
 * @param path of the layout's folder
 * @throws NotFoundError, FormatError, DigestMismatchError; BridgeError `PLATFORM`, `AMBIGUOUS_IMAGE`
 */
export async function openLayoutImage(path: string, options: LayoutOptions = {}): Promise<ImageSource> {
  return openLayout(FolderFiles.open(path), options);
}

/**
 * The same for a layout in a tar, which may be compressed.
 * @param path of the tar
 */
export async function openLayoutArchive(path: string, options: LayoutOptions & { signal?: AbortSignal | undefined } = {}): Promise<ImageSource> {
  return openLayout(await ArchiveFiles.open(path, options.signal), options);
}

function openLayout(files: ImageFiles, { tag, platform = hostPlatform() }: LayoutOptions): ImageSource {
  try {
    checkLayout(files);
    using index = files.open('index.json');
    if (index === undefined) throw new NotFoundError(`${files.shown} is no OCI layout: it has no index.json`);
    const { manifests } = parseIndex(index.read(JSON_LIMIT));
    const blobs = new Blobs(files, ({ digest }) => `blobs/${digest.replace(':', '/')}`);
    return blobImage(selectManifest(tag === undefined ? manifests : tagged(manifests, tag), blobs, platform), blobs, files);
  } catch (error) {
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

function tagged(manifests: readonly Descriptor[], tag: string): Descriptor[] {
  const found = manifests.filter(({ annotations }) => annotations?.[REF_NAME] === tag);
  if (found.length > 0) return found;
  const names = manifests.map(({ annotations }) => annotations?.[REF_NAME]).filter((name) => name !== undefined);
  throw new NotFoundError(`the layout has no image "${tag}"; ${names.length > 0 ? `it has ${names.slice(0, 20).join(', ')}` : 'none of its images has a name'}`);
}
