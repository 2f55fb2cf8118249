import { imageSource, type LayerPart } from '../../oci/source/image-source.js';
import { PARALLEL_LAYERS } from '../../oci/source/parallel-layers.js';
import { CALL_DOCUMENT_LIMIT } from '../../limits.js';
import { layerContentId } from '../../repository/names.js';
import { describeLateMark } from '../../oci/image/mark-order.js';
import { pullImage } from '../../oci/pull/pull.js';
import type { PullEvent } from '../../oci/pull/types.js';
import { DIGEST_SIZE } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { implement, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { checkDiffId } from './internal-error.js';
import { ociInterface, ociMethods } from '../../rpc/contracts/oci.js';
import type { FinalizeImageParams } from '../../rpc/contracts/oci-transfer.js';

/** FinalizeImage: a pull from nowhere, of an image whose layers are all there. */
export function finalizeHandlers(
  repositories: ConnectionRepositories,
  onRemark?: (remark: string) => void,
): [string, VarlinkHandler][] {
  return [
    implement(ociMethods.FinalizeImage, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'write', signal);
      checkLayers(repository, parameters);
      const manifest = document('manifest_json', parameters.manifest_json);
      const config = document('config_json', parameters.config_json);
      const source = imageSource({
        manifest,
        config,
        layers: (diffIds) => diffIds.map(missingLayer),
        trusted: true,
        canShare: false,
        parallelLayers: PARALLEL_LAYERS.server,
        close: () => undefined,
      });
      const onEvent = (event: PullEvent): void => {
        if (event.kind === 'late-mark') onRemark?.(describeLateMark(event));
      };
      const result = await pullImage(repository, source, { name: parameters.name ?? undefined, signal, onEvent });
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

/**
 * What the caller believes to have stored has to be what is there; layers that it does not list are looked up by their
 * name all the same.
 */
function checkLayers(repository: Repository, { layers }: FinalizeImageParams): void {
  for (const { diff_id: diffId, layer_verity: verity } of layers) {
    checkDiffId(diffId);
    if (!/^[0-9a-f]+$/.test(verity) || verity.length !== 2 * DIGEST_SIZE[repository.algorithm]) {
      throw ociInterface.error('InvalidDigest', { message: `"${verity}" is no ${repository.algorithm} digest in hex` });
    }
    const stream = repository.streamObject(layerContentId(diffId));
    if (stream === undefined) throw ociInterface.error('NoSuchLayer', { diff_id: diffId });
    if (stream !== verity)
      throw ociInterface.error('InvalidRequest', {
        message: `the stream of layer ${diffId} has the fs-verity digest ${stream}, not ${verity}`,
      });
  }
}

/** A layer that has to be in the repository already. */
function missingLayer(diffId: string): LayerPart {
  return {
    diffId,
    size: undefined,
    open: async () => {
      throw ociInterface.error('NoSuchLayer', { diff_id: diffId });
    },
  };
}

function document(name: string, text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > CALL_DOCUMENT_LIMIT)
    throw ociInterface.error('InvalidRequest', {
      message: `${name} has ${bytes.length} bytes, more than ${CALL_DOCUMENT_LIMIT}`,
    });
  return bytes;
}
