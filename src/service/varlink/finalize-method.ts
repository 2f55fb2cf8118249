import type { LayerSource } from '../../oci/source/source.js';
import { layerContentId } from '../../oci/image.js';
import { parseConfig, parseManifest, isContainerImage } from '../../oci/manifest.js';
import { pullImage } from '../../oci/pull/pull.js';
import { DIGEST_SIZE } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { handle, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { checkDiffId } from './internal-error.js';
import { ociInterface, ociMethods, type FinalizeImageParams } from './oci-interface.js';

/** FinalizeImage: a pull from nowhere, of an image whose layers are all there. */
export function finalizeHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    handle(ociMethods.FinalizeImage, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'write', signal);
      checkLayers(repository, parameters);
      const manifest = Buffer.from(parameters.manifest_json);
      const config = Buffer.from(parameters.config_json);
      const diffIds = isContainerImage(parseManifest(manifest)) ? parseConfig(config).rootfs.diff_ids : [];
      const source = { manifest, config, layers: diffIds.map(missingLayer), trusted: true, parallelLayers: 1, [Symbol.asyncDispose]: async () => undefined };
      const result = await pullImage(repository, source, { name: parameters.name ?? undefined, signal });
      return {
        parameters: {
          manifest_digest: result.manifestDigest,
          manifest_verity: result.manifestStream,
          config_digest: result.configDigest,
          config_verity: result.configStream,
        },
      };
    }),
  ];
}

/** What the caller believes to have stored has to be what is there; layers that it does not list are looked up by their name all the same. */
function checkLayers(repository: Repository, { layers }: FinalizeImageParams): void {
  for (const { diff_id: diffId, layer_verity: verity } of layers) {
    checkDiffId(diffId);
    if (!/^[0-9a-f]+$/.test(verity) || verity.length !== 2 * DIGEST_SIZE[repository.algorithm]) {
      throw ociInterface.error('InvalidDigest', { message: `"${verity}" is no ${repository.algorithm} digest in hex` });
    }
    const stream = repository.streamObject(layerContentId(diffId));
    if (stream === undefined) throw ociInterface.error('NoSuchLayer', { diff_id: diffId });
    if (stream !== verity) throw ociInterface.error('InvalidRequest', { message: `the stream of layer ${diffId} has the fs-verity digest ${stream}, not ${verity}` });
  }
}

/** A layer that has to be in the repository already. */
function missingLayer(diffId: string): LayerSource {
  return {
    diffId,
    size: undefined,
    open: async () => {
      throw ociInterface.error('NoSuchLayer', { diff_id: diffId });
    },
  };
}
