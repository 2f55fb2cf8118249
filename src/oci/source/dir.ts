import type { Abortable } from '../../abortable.js';
import * as z from 'zod';
import { FormatError, NotFoundError } from '../../errors.js';
import { DIR_VERSION_LIMIT, DOCUMENT_LIMIT, SIGNATURES_LIMIT, STATEMENT_LIMIT } from '../../limits.js';
import type { Admit } from '../../registry/policy/image-to-check.js';
import { parseSignature, type Signature } from '../../registry/signatures/signature.js';
import { blobImage, ofFiles } from './blobs/blob-image.js';
import { FileBlobs } from './blobs/blobs.js';
import { FolderFiles } from './blobs/folder-files.js';
import { digestLike, MEDIA_TYPES, parseIndex, type Descriptor } from '../../spec/manifest.js';
import type { Platform } from '../../spec/platform.js';
import { isIndexType, selectManifest } from './select-manifest.js';
import { besideImage } from './beside-image.js';
import type { ImageSource, StoreExtras } from './source.js';
import { pathSubject } from './subject.js';

const VERSION = 'Directory Transport Version: 1.';

export interface DirOptions extends Abortable {
  /** which image of an index to take; default: the one this program runs on */
  platform?: Platform | undefined;
  /** decides whether it may come in; default: it may */
  admit?: Admit | undefined;
}

interface SignatureFile {
  bytes: Buffer;
  parsed: Signature;
}

const kind = z.object({ mediaType: z.string().optional(), manifests: z.unknown().optional() });

/**
 * An image in a folder as skopeo's `dir:` makes it: `manifest.json`, and blobs named by their digest.
 * @param path of the folder
 * @throws NotFoundError, FormatError, DigestMismatchError; BridgeError `PLATFORM`, `POLICY`
 */
export async function openDirImage(path: string, { platform, admit, signal }: DirOptions = {}): Promise<ImageSource> {
  const files = FolderFiles.open(path);
  try {
    checkVersion(files);
    using file = files.open('manifest.json');
    if (file === undefined) throw new NotFoundError(`${path} holds no image: it has no manifest.json`);
    const bytes = file.read(DOCUMENT_LIMIT);
    const blobs = new FileBlobs(files, nameOf);
    const listed = isIndex(bytes);
    const manifest = listed
      ? await selectManifest(parseIndex(bytes).manifests, blobs, platform, { oneIndex: true })
      : bytes;
    const prefix = listed ? `${digestLike('sha256:', manifest).slice('sha256:'.length)}.` : '';
    const signatures = (): SignatureFile[] => readSignatures(files, prefix);
    await admit?.(
      { subject: pathSubject('dir', path), manifest, signatures: async () => signatures().map(({ parsed }) => parsed) },
      { signal },
    );
    const extras = (): StoreExtras =>
      besideImage(
        listed ? bytes : undefined,
        signatures().map((file) => file.bytes),
      );
    return await blobImage(manifest, blobs, { ...ofFiles(files), extras });
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

/** Numbered from one, without a gap; those of an image of a list have its digest before that. */
function readSignatures(files: FolderFiles, prefix: string): SignatureFile[] {
  const signatures: SignatureFile[] = [];
  for (let number = 1; number <= SIGNATURES_LIMIT; number++) {
    const name = `${prefix}signature-${number}`;
    using file = files.open(name);
    if (file === undefined) break;
    const bytes = file.read(STATEMENT_LIMIT);
    signatures.push({ bytes, parsed: parseSignature(bytes, `${name} in ${files.shown}`) });
  }
  return signatures;
}

function checkVersion(files: FolderFiles): void {
  using file = files.open('version');
  if (file === undefined) return;
  const text = file.read(DIR_VERSION_LIMIT).toString('latin1');
  if (!text.startsWith(VERSION))
    throw new FormatError(
      'LAYOUT_INVALID',
      `${files.shown} is of an unknown version; "${VERSION}" with any number after it can be read`,
    );
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
  return (
    data !== undefined && (data.mediaType === undefined ? data.manifests !== undefined : isIndexType(data.mediaType))
  );
}
