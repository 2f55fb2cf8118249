import { toBootTree } from '../../boot/boot-tree.js';
import { BridgeError } from '../../errors.js';
import { imageTree } from './tree.js';
import { notAnImage, openConfig, openImage, type StoredConfig } from './image.js';
import { parseConfig } from '../../spec/manifest.js';
import type { Repository } from '../../repository/repository.js';
import type { LateMark } from '../../tree/oci-layers.js';
import type { XattrMode } from '../../tree/oci-transform.js';
import type { Directory } from '../../tree/tree.js';

/**
 * The file tree of the image a user means: a tag, or `@` and the digest of a config (not of a manifest: that is how
 * cfsctl reads the argument of these commands).
 * @param options.bootable the tree to boot from instead
 * @param options.onLateMark is told of the first mark with which cfsctl 0.9.4 makes another image
 * @param verity fs-verity digest that the stream of the config, or of the tag's manifest, must have
 */
export async function namedTree(
  repository: Repository,
  reference: string,
  verity: string | undefined,
  {
    bootable,
    ...options
  }: { xattrs: XattrMode; bootable: boolean; signal: AbortSignal; onLateMark?: (mark: LateMark) => void },
): Promise<Directory> {
  const config = await namedConfig(repository, reference, verity);
  const root = await imageTree(repository, config, parseConfig(config.bytes), options);
  if (bootable) toBootTree(root, repository.objects);
  return root;
}

/** The config of the image that a user means, given and checked as for `namedTree`. */
export async function namedConfig(
  repository: Repository,
  reference: string,
  verity: string | undefined,
): Promise<StoredConfig> {
  const { config, streams } = reference.startsWith('@')
    ? await configOnly(repository, reference.slice(1))
    : await wholeImage(repository, reference);
  if (verity === undefined || streams.includes(verity)) return config;
  throw new BridgeError('VERITY_MISMATCH', `no stream of ${reference} has the fs-verity digest ${verity}`);
}

interface NamedConfig {
  config: StoredConfig;
  streams: string[];
}

async function configOnly(repository: Repository, digest: string): Promise<NamedConfig> {
  const config = await openConfig(repository, digest);
  return { config, streams: [config.stream] };
}

async function wholeImage(repository: Repository, tag: string): Promise<NamedConfig> {
  const { manifestStream, configStream, config } = await openImage(repository, tag);
  if (config === undefined) throw notAnImage(tag);
  return { config: configStream, streams: [manifestStream.stream, configStream.stream] };
}
