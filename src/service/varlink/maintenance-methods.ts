// Checking and cleaning repositories, and the names of EROFS images.
import { bytesOf, showBytes } from '../../bytes.js';
import { imageObjects } from '../../erofs/read/image-objects.js';
import type { Fd } from '../../fd/fd.js';
import { NotFoundError } from '../../errors.js';
import { EROFS_SCAN_LIMIT } from '../../limits.js';
import { fsckImages, imageFsckJson } from '../../oci/repair/fsck.js';
import { commitCheck } from '../../ostree/fsck.js';
import { fsckJson } from '../../repository/fsck/report.js';
import { fsckRepository } from '../../repository/fsck/fsck.js';
import { collectGarbage } from '../../repository/gc/gc.js';
import { resolveImage } from '../../repository/image-name.js';
import { readSmallFile } from '../../fd/read-file.js';
import { IMAGES } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { implement, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { ociMethods } from '../../rpc/contracts/oci.js';
import { repositoryInterface, repositoryMethods } from '../../rpc/contracts/repository.js';

export function maintenanceHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    implement(repositoryMethods.Fsck, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const metadataOnly = parameters.metadata_only === true;
      const checkCommit = commitCheck(repository, metadataOnly);
      return { parameters: fsckJson(await fsckRepository(repository, { metadataOnly, checkCommit, signal })) };
    }),
    implement(ociMethods.Check, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      return { parameters: imageFsckJson(await fsckImages(repository, parameters.image ?? undefined, { signal })) };
    }),
    implement(repositoryMethods.Gc, async ({ handle, dry_run, roots }, { signal }) => {
      const collect = async (): Promise<Awaited<ReturnType<typeof collectGarbage>>> => {
        using repository = await repositories.use(handle, dry_run ? 'read' : 'write', signal);
        return await collectGarbage(repository, { dryRun: dry_run, roots: roots.map(bytesOf), signal });
      };
      const report = await (dry_run ? collect() : repositories.released(collect, signal));
      const { objects, bytes, prunedImages, prunedStreams } = report;
      const result = {
        objects_removed: objects,
        objects_bytes: bytes,
        images_pruned: prunedImages.length,
        streams_pruned: prunedStreams.length,
      };
      return { parameters: { result, dry_run } };
    }),
    implement(repositoryMethods.ListImageRefs, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const refs = repository.listRefs(IMAGES).sort();
      return {
        parameters: {
          images: refs.map((ref) => ({ name: showBytes(ref), digest: repository.readRef(IMAGES, ref) ?? '' })),
        },
      };
    }),
    implement(repositoryMethods.ImageObjects, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      using image = openNamedImage(repository, parameters.name);
      const ids = imageObjects(readSmallFile(image, EROFS_SCAN_LIMIT));
      return { parameters: { object_ids: ids.map((id) => `${repository.algorithm}:${id}`) } };
    }),
  ];
}

function openNamedImage(repository: Repository, name: string): Fd {
  try {
    return repository.objects.open(resolveImage(repository, name));
  } catch (error) {
    throw error instanceof NotFoundError ? repositoryInterface.error('NoSuchRef', { reference: name }) : error;
  }
}
