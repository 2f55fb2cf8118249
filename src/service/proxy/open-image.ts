import { FormatError, NoImageError, NotFoundError } from '../../errors.js';
import { splitReference, openSource } from '../../oci/source/open.js';
import { openRepositoryImage } from '../../oci/source/repository.js';
import type { ImageSource } from '../../oci/source/source.js';
import { dockerName } from '../../oci/source/docker-name.js';
import { splitPath } from '../../oci/source/split-path.js';
import { layerStream } from '../../oci/image/stored-layer.js';
import { tarSize } from '../../oci/image/repository-layer.js';
import { admission } from '../../registry/policy/policy.js';
import { RegistryError } from '../../registry/registry-error.js';
import { parseRegistryReference } from '../../spec/reference.js';
import { Repository } from '../../repository/repository.js';
import { isTrustedFolder } from '../../repository/trust.js';
import type { ImageProxyOptions } from './proxy-options.js';

const COMPOSEFS = 'composefs:';

/**
 * Opens an image for the proxy: what `openSource` takes, and `composefs:REPOSITORY:NAME`.
 * @throws NoImageError; what `openSource` throws
 */
export async function openProxiedImage(
  reference: string,
  options: ImageProxyOptions,
  signal: AbortSignal,
): Promise<ImageSource> {
  const { transport } = splitReference(reference);
  // What only skopeo opens cannot be had from a program that may be there in its place.
  if ((transport === undefined || transport.proxied) && !reference.startsWith(COMPOSEFS))
    throw new FormatError(
      'BAD_REFERENCE',
      reference.includes(':')
        ? `Invalid image name "${reference}", unknown transport "${reference.slice(0, reference.indexOf(':'))}"`
        : `Invalid image name "${reference}", expected colon-separated transport:reference`,
    );
  try {
    if (reference.startsWith(COMPOSEFS)) return await openComposefs(reference.slice(COMPOSEFS.length), options, signal);
    const { idleLimit: _, check: __, ...how } = options;
    return await openSource(reference, { ...how, manifestOfArchives: 'docker', signal });
  } catch (error) {
    throw inSkopeosWords(reference, error);
  }
}

async function openComposefs(
  place: string,
  { policy, requireSigned, registry }: ImageProxyOptions,
  signal: AbortSignal,
): Promise<ImageSource> {
  const { path, name } = splitPath(place);
  if (name === undefined)
    throw new FormatError('BAD_REFERENCE', `"${COMPOSEFS}${place}" lacks the image: ${COMPOSEFS}REPOSITORY:NAME`);
  const repository = await Repository.open(path, { trust: isTrustedFolder(path), signal });
  try {
    const image = await openRepositoryImage(repository, name);
    await admission({ policy, requireSigned }, registry?.surroundings)?.(
      {
        subject: { transport: 'composefs', scopes: [], name: undefined, shown: `${COMPOSEFS}${place}` },
        manifest: image.manifest,
        signatures: async () => [],
      },
      { signal },
    );
    const close = async (): Promise<void> => {
      await image.close();
      repository[Symbol.dispose]();
    };
    return {
      ...image,
      layers: image.layers.map((layer) => ({
        ...layer,
        size: tarSize(repository, layerStream(repository, layer.diffId)),
      })),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    repository[Symbol.dispose]();
    throw error;
  }
}

/** What skopeo says where an image is not there. Clients look for it, as not all of them know OpenImageOptional. */
const WORDS: Readonly<Record<string, (rest: string) => string>> = {
  'containers-storage': (rest) => `reference "${inFull(rest)}" does not resolve to an image ID`,
  oci: (rest) => `no descriptor found for reference "${splitPath(rest).name ?? ''}"`,
  'oci-archive': (rest) => `no descriptor found for reference "${splitPath(rest).name ?? ''}"`,
};

/** With the name as docker completes it, behind the store that is named. */
function inFull(rest: string): string {
  const [, store = '', name = ''] = /^(\[[^\]]*\])?(.*)$/s.exec(rest) ?? [];
  return store + dockerName(name);
}

function inSkopeosWords(reference: string, cause: unknown): unknown {
  const transport = reference.slice(0, reference.indexOf(':'));
  const rest = reference.slice(transport.length + 1);
  if (cause instanceof RegistryError && cause.serverCodes.includes('MANIFEST_UNKNOWN'))
    return new NoImageError(manifestUnknown(rest), { cause });
  if (!(cause instanceof NoImageError)) return cause;
  const [, id] = (transport === 'containers-storage' && /(?:^|\])@([0-9a-f]{64})$/.exec(rest)) || [];
  // Not one that OpenImageOptional says 0 of.
  if (id !== undefined)
    return new NotFoundError(`reading image "${id}": locating image with ID "${id}": image not known`, { cause });
  const words = WORDS[transport];
  return words === undefined ? cause : new NoImageError(words(rest), { cause });
}

function manifestUnknown(rest: string): string {
  const { host, path, tag, digest } = parseRegistryReference(rest);
  return `reading manifest ${digest ?? tag} in ${host}/${path}: manifest unknown`;
}
