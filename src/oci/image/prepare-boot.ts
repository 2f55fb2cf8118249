import { imageArgument } from '../../boot/command-line.js';
import { toBootTree } from '../../boot/boot-tree.js';
import { makeDeployment } from '../../boot/deployment.js';
import type { BootEntry } from '../../boot/boot-entry.js';
import { installBootEntry } from '../../boot/install.js';
import { imageOfEfiProgram, planBoot } from '../../boot/plan.js';
import { StoredFiles } from '../../boot/stored-files.js';
import { bytesOf, type ByteString } from '../../bytes.js';
import { BridgeError, NotFoundError } from '../../errors.js';
import { erofsVersions } from '../../repository/meta.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { manifestOf } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import type { LateMark } from '../../tree/oci-layers.js';
import type { Directory } from '../../tree/tree.js';
import { imageRefName, imageRefs } from './refs.js';
import { imageTree } from './tree.js';
import { layerStreams, openImage, type StoredConfig } from './image.js';
import { parseConfig } from '../../spec/manifest.js';
import { markOrder } from './mark-order.js';
import { namedConfig } from './named-tree.js';
import { putImages } from './put-images.js';
import { writeImage } from '../pull/write-image.js';

export interface PrepareBootOptions {
  /** where the boot partition is mounted */
  bootFolder: string;
  /** name of the boot entry instead of the image's own */
  entryId?: string | undefined;
  /** more kernel arguments */
  commandLine?: readonly string[];
  /** the stream of the image's config or manifest must have this digest */
  verity?: string | undefined;
  erofsVersion?: ErofsVersion | undefined;
  signal: AbortSignal;
  /** is told of the first mark with which cfsctl 0.9.4 makes another image */
  onLateMark?: (mark: LateMark) => void;
}

export interface PreparedBoot {
  /** the image that will be mounted */
  id: ObjectId;
  /** the kernel argument that names it */
  argument: string;
  /** paths below the boot folder that were written; files that were there already are left out */
  written: ByteString[];
  /** the directory of the deployment's state */
  state: string;
  /** boot entries of the image that were not written: only the first is */
  others: number;
}

/**
 * Makes a machine boot an image: its boot image becomes one of the image's, as after a pull for booting; then the state
 * that `composefs-setup-root` expects is made beside the repository, and last the boot partition gets kernel and boot
 * entry.
 * @param repositoryPath where the repository is: the state goes into the folder above it
 * @throws BridgeError `NO_BOOT_ENTRY`, `WRONG_IMAGE` for a unified kernel image that boots another image; what
 *   `namedTree`, `planBoot` and `installBootEntry` throw
 */
export async function prepareBoot(
  repository: Repository,
  repositoryPath: string,
  reference: string,
  options: PrepareBootOptions,
): Promise<PreparedBoot> {
  const { signal } = options;
  const config = await namedConfig(repository, reference, options.verity);
  const versions = new Set(
    options.erofsVersion === undefined ? erofsVersions(repository.meta) : [options.erofsVersion],
  );
  const root = await treeToBoot(repository, config, versions, options);
  const stored = new StoredFiles(repository.objects);
  const [entry, ...others] = toBootTree(root, repository.objects);
  if (entry === undefined)
    throw new BridgeError(
      'NO_BOOT_ENTRY',
      `${reference} has nothing to boot with: no boot loader entry, unified kernel image or kernel`,
    );

  const images = await putImages(repository, root, versions, { signal });
  await linkBootImages(repository, reference, config, images);

  const preferred = images.get(1) ?? (images.values().next().value as ObjectId);
  const id =
    entry.kind === 'efi'
      ? bootedBy(entry, stored, repository, [...images.values(), ...imageRefs(config.namedRefs).values()])
      : preferred;
  const argument = imageArgument(id, images.has(2) ? 2 : 1, repository.algorithm, !repository.verityRequired);
  const entryId = options.entryId === undefined ? undefined : bytesOf(options.entryId);
  const plan = planBoot(entry, stored, {
    entryId,
    imageArgument: argument,
    extraArguments: (options.commandLine ?? []).map(bytesOf),
  });
  const state = makeDeployment(repositoryPath, id);
  return {
    id,
    argument,
    written: await installBootEntry(options.bootFolder, plan, stored, signal),
    state,
    others: others.length,
  };
}

async function treeToBoot(
  repository: Repository,
  stored: StoredConfig,
  versions: ReadonlySet<ErofsVersion>,
  { signal, onLateMark }: PrepareBootOptions,
): Promise<Directory> {
  const config = parseConfig(stored.bytes);
  let late: LateMark | undefined;
  const root = await imageTree(repository, stored, config, {
    xattrs: 'allowlist-only',
    signal,
    onLateMark: (mark) => void (late = mark),
  });
  if (late === undefined) return root;
  onLateMark?.(late);
  const marks = await markOrder(
    repository,
    { config, layers: layerStreams(config, stored), refs: stored.namedRefs },
    { versions, boot: true },
    signal,
  );
  return marks === 'spec' ? root : imageTree(repository, stored, config, { xattrs: 'allowlist-only', marks, signal });
}

/** The image that a unified kernel image boots, which must be one of the container image's. */
function bootedBy(
  entry: Extract<BootEntry, { kind: 'efi' }>,
  stored: StoredFiles,
  repository: Repository,
  known: readonly ObjectId[],
): ObjectId {
  const id = imageOfEfiProgram(entry, stored, repository.algorithm);
  if (known.includes(id)) return id;
  throw new BridgeError(
    'WRONG_IMAGE',
    `the unified kernel image boots ${id}, and the image is ${known.join(' or ')}; if it was made in another ` +
      `format, a pull that expects ${id} can find out`,
  );
}

/**
 * Makes boot images belong to the container image, in all manifests with its config, so that they stay as long as a tag
 * does.
 */
async function linkBootImages(
  repository: Repository,
  reference: string,
  config: StoredConfig,
  images: ReadonlyMap<ErofsVersion, ObjectId>,
): Promise<void> {
  const layers = layerStreams(parseConfig(config.bytes), config);
  const refs = new Map(
    [...images].map(([version, id]) => [imageRefName({ version, boot: true, keepUserXattrs: false }), id]),
  );
  let linked = 0;
  for (const stream of repository.listStreams()) {
    const digest = manifestOf(stream);
    if (digest === undefined) continue;
    // Other images may be damaged.
    const image = await openImage(repository, `@${digest}`).catch(() => undefined);
    if (image?.configStream.digest !== config.digest || image.config === undefined) continue;
    await writeImage(repository, { manifest: image.manifestStream.bytes, config: config.bytes, layers, images: refs });
    linked++;
  }
  if (linked === 0)
    throw new NotFoundError(`no manifest in the repository has the config ${config.digest} of ${reference}`);
}
