import { existsSync } from 'node:fs';
import { detailsJson, inspectImage, openImage } from '../../../oci/image/image.js';
import { locateImage, locateProxiedImage, type ImageLocation } from '../../../oci/source/location.js';
import { isRegistryReference } from '../../../oci/source/open.js';
import { readTag } from '../../../repository/tags.js';
import { digestLike } from '../../../spec/manifest.js';
import { UsageError } from '../../errors.js';
import { openRepository, repositoryPath } from '../../open-repository.js';
import {
  checkNoPolicyOptions,
  checkNoRegistryOptions,
  policyChoice,
  policyFlagIn,
  registryChoice,
  registryFlagIn,
  wantsProxy,
} from '../../registry-options.js';
import type { Session } from '../../session.js';
import type { InspectOptions } from './inspect.options.js';

/** `oci inspect`: prints the JSON an image was published with. */
export async function run(session: Session, [reference]: [string], options: InspectOptions): Promise<void> {
  if (wantsProxy(options)) return inspectRemote(session, locateProxiedImage(reference, options.proxyCommand), options);
  if (isRegistryReference(reference) && !(await isTag(session, reference, options)))
    return inspectRemote(session, locateImage(reference), options);
  checkNoRegistryOptions(options);
  checkNoPolicyOptions(options, 'what is in the repository was let in');
  if (options.platform !== undefined)
    throw new UsageError("option '--platform' chooses among images in a registry; a tag names one image");
  using repository = await openRepository(session, options, 'read');
  const image = await openImage(repository, reference);
  if (!options.manifest && !options.config) return await session.out.json(detailsJson(inspectImage(repository, image)));
  await printDocument(session, (options.manifest ? image.manifestStream : image.configStream).bytes);
}

/**
 * A pull without a name makes a tag of what was pulled: then the image that is here is meant, unless options are about
 * the registry.
 */
async function isTag(session: Session, reference: string, options: InspectOptions): Promise<boolean> {
  if (asksForRemote(options) || !existsSync(repositoryPath(options))) return false;
  using repository = await openRepository(session, options, 'read');
  return readTag(repository, reference) !== undefined;
}

function asksForRemote(options: InspectOptions): boolean {
  return [options.platform, registryFlagIn(options), policyFlagIn(options)].some((given) => given !== undefined);
}

async function inspectRemote(session: Session, location: ImageLocation, options: InspectOptions): Promise<void> {
  await using source = await location.open({
    platform: options.platform,
    policy: policyChoice(options),
    registry: registryChoice(options),
    signal: session.signal,
  });
  const { manifest, config } = source;
  if (options.manifest || options.config) return await printDocument(session, options.manifest ? manifest : config);
  await session.out.json({
    digest: digestLike('sha256:', manifest),
    manifest: manifest.toString('utf8'),
    config: config.toString('utf8'),
  });
}

async function printDocument(session: Session, bytes: Buffer): Promise<void> {
  // A program gets the very bytes, which have the digest; a terminal what says the same.
  await (session.out.isTerminal ? session.out.jsonText(bytes.toString('utf8')) : session.out.write(bytes));
  await session.out.write('\n');
}
