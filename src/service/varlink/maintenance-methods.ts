// Checking and cleaning repositories, and the names of EROFS images.
import { bytesOf, showBytes } from '../../bytes.js';
import { imageObjects } from '../../erofs/reader.js';
import { NotFoundError } from '../../errors.js';
import { fsckImages, imageFsckJson } from '../../oci/fsck.js';
import { fsckJson } from '../../repository/fsck-report.js';
import { fsckRepository } from '../../repository/fsck.js';
import { collectGarbage } from '../../repository/gc.js';
import { resolveImage } from '../../repository/image-name.js';
import { readSmallFile } from '../../repository/read-file.js';
import type { Repository } from '../../repository/repository.js';
import { handle, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { ociMethods } from './oci-interface.js';
import { repositoryInterface, repositoryMethods } from './repository-interface.js';

/** Longest EROFS image that is read, in bytes. */
const IMAGE_LIMIT = 2 ** 31 - 1;

export function maintenanceHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    handle(repositoryMethods.Fsck, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      return { parameters: fsckJson(await fsckRepository(repository, { metadataOnly: parameters.metadata_only === true, signal })) };
    }),
    handle(ociMethods.Check, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      return { parameters: imageFsckJson(await fsckImages(repository, parameters.image ?? undefined, { signal })) };
    }),
    handle(repositoryMethods.Gc, async ({ handle: number, dry_run, roots }, { signal }) => {
      const collect = async (): Promise<Awaited<ReturnType<typeof collectGarbage>>> => {
        using repository = await repositories.use(number, dry_run ? 'read' : 'write', signal);
        return await collectGarbage(repository, { dryRun: dry_run, roots: roots.map(bytesOf), signal });
      };
      const report = await (dry_run ? collect() : repositories.released(collect, signal));
      const { objects, bytes, prunedImages, prunedStreams } = report;
      const result = { objects_removed: objects, objects_bytes: bytes, images_pruned: prunedImages.length, streams_pruned: prunedStreams.length };
      return { parameters: { result, dry_run } };
    }),
    handle(repositoryMethods.ListImageRefs, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      const refs = repository.listRefs('images').sort();
      return { parameters: { images: refs.map((ref) => ({ name: showBytes(ref), digest: repository.readRef('images', ref) ?? '' })) } };
    }),
    handle(repositoryMethods.ImageObjects, async (parameters, { signal }) => {
      using repository = await repositories.use(parameters.handle, 'read', signal);
      using image = openNamedImage(repository, parameters.name);
      const ids = imageObjects(readSmallFile(image, IMAGE_LIMIT));
      return { parameters: { object_ids: ids.map((id) => `${repository.algorithm}:${id}`) } };
    }),
  ];
}

function openNamedImage(repository: Repository, name: string): ReturnType<Repository['objects']['open']> {
  try {
    return repository.objects.open(resolveImage(repository, name));
  } catch (error) {
    throw error instanceof NotFoundError ? repositoryInterface.error('NoSuchRef', { reference: name }) : error;
  }
}
