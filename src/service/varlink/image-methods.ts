// Listing, showing and naming the container images of a repository.
import { NotFoundError } from '../../errors.js';
import { writeErofs } from '../../erofs/write/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { detailsJson, inspectImage, listImages, openImage, summaryJson } from '../../oci/image/image.js';
import { describeLateMark } from '../../oci/image/mark-order.js';
import { isDigest } from '../../spec/manifest.js';
import { namedTree } from '../../oci/image/named-tree.js';
import { erofsVersions } from '../../repository/meta.js';
import { readTag, removeTag, writeTag } from '../../repository/tags.js';
import { implement, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { LateMark } from '../../tree/oci-layers.js';
import type { ConnectionRepositories } from './handles.js';
import { ociInterface, ociMethods } from '../../rpc/contracts/oci.js';

export function imageHandlers(
  repositories: ConnectionRepositories,
  onRemark?: (remark: string) => void,
): [string, VarlinkHandler][] {
  return [
    implement(ociMethods.ListImages, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const { images } = await listImages(repository);
      const filter = parameters.filter ?? '';
      return { parameters: { images: images.filter(({ name }) => name.includes(filter)).map(summaryJson) } };
    }),
    implement(ociMethods.Inspect, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      if (!parameters.image.startsWith('@') && readTag(repository, parameters.image) === undefined)
        throw noSuchImage(parameters.image);
      const image = await openImage(repository, parameters.image);
      return { parameters: detailsJson(inspectImage(repository, image)) };
    }),
    implement(ociMethods.Tag, async (parameters, { signal }) => {
      const { manifest_digest: digest, name } = parameters;
      using repository = await repositories.use(parameters.handle, 'write', signal);
      if (!isDigest(digest)) throw ociInterface.error('InternalError', { message: `invalid digest: "${digest}"` });
      try {
        writeTag(repository, name, digest);
      } catch (error) {
        // A tag that leads nowhere would be in the way of every garbage collection.
        throw error instanceof NotFoundError ? noSuchImage(digest) : error;
      }
      await repository.sync();
      return { parameters: {} };
    }),
    implement(ociMethods.Untag, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'write', signal);
      if (!removeTag(repository, parameters.name)) throw new NotFoundError(`there is no tag "${parameters.name}"`);
      return { parameters: {} };
    }),
    implement(ociMethods.ComputeId, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const xattrs = parameters.xattrs === 'KeepUserXattrs' ? 'keep-user-xattrs' : 'allowlist-only';
      const onLateMark = (mark: LateMark): void => onRemark?.(describeLateMark(mark));
      const root = await namedTree(repository, parameters.image, parameters.verity ?? undefined, {
        xattrs,
        bootable: parameters.bootable,
        signal,
        onLateMark,
      });
      const [version = 1] = erofsVersions(repository.meta);
      return {
        parameters: {
          image_id: verityDigest(
            writeErofs(root, { version, algorithm: repository.algorithm }),
            repository.algorithm,
          ).toString('hex'),
        },
      };
    }),
  ];
}

export function noSuchImage(image: string): Error {
  return ociInterface.error('NoSuchImage', { image });
}
