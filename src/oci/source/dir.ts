import * as z from 'zod';
import { FormatError, NotFoundError } from '../../errors.js';
import { blobImage } from '../blob/blob-image.js';
import { Blobs } from '../blob/blobs.js';
import { FolderFiles } from '../blob/folder-files.js';
import { JSON_LIMIT, MEDIA_TYPES, parseIndex, type Descriptor, type Platform } from '../manifest.js';
import { hostPlatform } from './platform.js';
import { isIndexType, selectManifest } from './select-manifest.js';
import type { ImageSource } from './source.js';

const VERSION_LIMIT = 256;
const VERSION = 'Directory Transport Version: 1.';

const kind = z.object({ mediaType: z.string().optional(), manifests: z.unknown().optional() });

/**
 * An image in a folder as skopeo's `dir:` makes it: `manifest.json`, and blobs named by their digest.
 * @param path of the folder
 * @param platform which image of an index to take; default: the one this program runs on
 * @throws NotFoundError, FormatError, DigestMismatchError; BridgeError `PLATFORM`
 */
export async function openDirImage(path: string, platform: Platform = hostPlatform()): Promise<ImageSource> {
  const files = FolderFiles.open(path);
  try {
    checkVersion(files);
    using file = files.open('manifest.json');
    if (file === undefined) throw new NotFoundError(`${path} holds no image: it has no manifest.json`);
    const bytes = file.read(JSON_LIMIT);
    const blobs = new Blobs(files, nameOf);
    return blobImage(isIndex(bytes) ? selectManifest(parseIndex(bytes).manifests, blobs, platform) : bytes, blobs, files);
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

function checkVersion(files: FolderFiles): void {
  using file = files.open('version');
  if (file === undefined) return;
  const text = file.read(VERSION_LIMIT).toString('latin1');
  if (!text.startsWith(VERSION)) throw new FormatError('LAYOUT_INVALID', `${files.shown} is of an unknown version; "${VERSION}" with any number after it can be read`);
}

/** The algorithm is part of the name where it is not sha256. */
function nameOf({ digest, mediaType }: Descriptor): string {
  const name = digest.replace(/^sha256:/, '').replace(':', '-');
  return isManifest(mediaType) ? `${name}.manifest.json` : name;
}

function isManifest(mediaType: string): boolean {
  return isIndexType(mediaType) || mediaType === MEDIA_TYPES.manifest || mediaType === MEDIA_TYPES.dockerManifest;
}

function isIndex(bytes: Buffer): boolean {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    return false;
  }
  const { data } = kind.safeParse(json);
  return data !== undefined && (data.mediaType === undefined ? data.manifests !== undefined : isIndexType(data.mediaType));
}
