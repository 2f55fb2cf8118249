// Listing, showing and naming the container images of a repository.
import { NotFoundError } from '../../errors.js';
import { writeErofs } from '../../erofs/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { erofsImage, listImages, openImage, referrers } from '../../oci/image.js';
import { isDigest } from '../../oci/manifest.js';
import { namedTree } from '../../oci/named-tree.js';
import { erofsVersions } from '../../repository/meta.js';
import { readTag, removeTag, writeTag } from '../../repository/tags.js';
import { handle, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { ociInterface, ociMethods } from './oci-interface.js';

export function imageHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    handle(ociMethods.ListImages, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const { images } = await listImages(repository);
      const filter = parameters.filter ?? '';
      return { parameters: { images: images.filter(({ name }) => name.includes(filter)) } };
    }),
    handle(ociMethods.Inspect, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      if (!parameters.image.startsWith('@') && readTag(repository, parameters.image) === undefined) throw noSuchImage(parameters.image);
      const image = await openImage(repository, parameters.image);
      return {
        parameters: {
          manifest: image.manifestStream.bytes.toString('utf8'),
          config: image.configStream.bytes.toString('utf8'),
          referrers: referrers(repository, image.digest),
          composefs_erofs: erofsImage(repository, image.configStream) ?? null,
          composefs_boot_erofs: erofsImage(repository, image.configStream, true) ?? null,
        },
      };
    }),
    handle(ociMethods.Tag, async (parameters, { signal }) => {
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
    handle(ociMethods.Untag, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'write', signal);
      if (!removeTag(repository, parameters.name)) throw new NotFoundError(`there is no tag "${parameters.name}"`);
      return { parameters: {} };
    }),
    handle(ociMethods.ComputeId, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const xattrs = parameters.xattrs === 'KeepUserXattrs' ? 'keep-user-xattrs' : 'allowlist-only';
      const root = await namedTree(repository, parameters.image, parameters.verity ?? undefined, { xattrs, bootable: parameters.bootable, signal });
      const [version = 1] = erofsVersions(repository.meta);
      return { parameters: { image_id: verityDigest(writeErofs(root, { version, algorithm: repository.algorithm }), repository.algorithm).toString('hex') } };
    }),
  ];
}

export function noSuchImage(image: string): Error {
  return ociInterface.error('NoSuchImage', { image });
}
