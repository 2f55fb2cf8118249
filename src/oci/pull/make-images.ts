import { toBootTree } from '../../boot/boot-tree.js';
import { BridgeError } from '../../errors.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import type { LayerTree } from '../../tree/oci-layers.js';
import type { Directory } from '../../tree/tree.js';
import { openConfig } from '../image/image.js';
import { markOrder, type LayersOfImage } from '../image/mark-order.js';
import { putImages } from '../image/put-images.js';
import { imageRefName } from '../image/refs.js';
import { imageTree } from '../image/tree.js';
import type { PullOptions, PullResult } from './types.js';

/** An image whose layers are in the repository. */
interface PulledImage extends Pick<LayersOfImage, 'config' | 'layers'> {
  /** of the config */
  digest: string;
}

type MadeImages = Pick<PullResult, 'images' | 'bootImages'>;

/** Makes the EROFS images of all versions, and those to boot from where they are wanted. */
export async function makeImages(
  repository: Repository,
  image: PulledImage,
  tree: LayerTree,
  versions: ReadonlySet<ErofsVersion>,
  options: PullOptions,
): Promise<MadeImages> {
  const root = await finishTree(repository, tree, image, versions, options);
  return writeImages(repository, root, versions, options);
}

/** The tree to make images of; that of cfsctl where it is the one that the image already has. */
async function finishTree(
  repository: Repository,
  tree: LayerTree,
  image: PulledImage,
  versions: ReadonlySet<ErofsVersion>,
  { bootable: boot = false, signal, onEvent }: PullOptions,
): Promise<Directory> {
  const { lateMark } = tree;
  if (lateMark === undefined) return tree.finish({ xattrs: 'allowlist-only' });
  onEvent?.({ kind: 'late-mark', ...lateMark });
  const refs = await storedRefs(repository, image.digest);
  const marks = await markOrder(repository, { ...image, refs }, { versions, boot }, signal);
  if (marks === 'spec') return tree.finish({ xattrs: 'allowlist-only' });
  return imageTree(repository, { namedRefs: image.layers }, image.config, { xattrs: 'allowlist-only', marks, signal });
}

async function storedRefs(repository: Repository, config: string): Promise<ReadonlyMap<string, ObjectId>> {
  try {
    return (await openConfig(repository, config)).namedRefs;
  } catch (error) {
    // There is none, or it is damaged and will be written anew.
    if (error instanceof BridgeError) return new Map();
    throw error;
  }
}

async function writeImages(
  repository: Repository,
  root: Directory,
  versions: ReadonlySet<ErofsVersion>,
  options: PullOptions,
): Promise<MadeImages> {
  const { signal, onEvent } = options;
  const onImage = (version: ErofsVersion, id: ObjectId): void => onEvent?.({ kind: 'image', version, id });
  const images = await putImages(repository, root, versions, { signal, onImage });
  if (!options.bootable) return { images, bootImages: new Map() };
  toBootTree(root, repository.objects);
  return { images, bootImages: await putImages(repository, root, versions, { signal, onImage }) };
}

/** What they are called in the image's config stream. */
export function imageRefsOf(images: MadeImages['images'], bootImages: MadeImages['bootImages']): Map<string, ObjectId> {
  return new Map([...refsTo(images, false), ...refsTo(bootImages, true)]);
}

function refsTo(images: ReadonlyMap<ErofsVersion, ObjectId>, boot: boolean): [string, ObjectId][] {
  return [...images].map(([version, id]) => [imageRefName({ version, boot, keepUserXattrs: false }), id]);
}
