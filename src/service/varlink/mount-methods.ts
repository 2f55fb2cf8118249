// Mounts that are attached nowhere, for the client to put where it wants them.
import { NotFoundError } from '../../errors.js';
import { erofsImage, openImage, resolveReference } from '../../oci/image.js';
import { isDigest } from '../../oci/manifest.js';
import { resolveImage } from '../../repository/image-name.js';
import { mountStored } from '../../repository/mount-stored.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { readTag } from '../../repository/tags.js';
import { handle, type VarlinkAnswer, type VarlinkCall, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { ociInterface, ociMethods } from './oci-interface.js';
import { noSuchImage } from './image-methods.js';
import { repositoryInterface, repositoryMethods, type MountChoice } from './repository-interface.js';

export function mountHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    handle(repositoryMethods.Mount, async ({ handle: number, name, options }, call) => {
      using repository = await repositories.use(number, 'read', call.signal);
      if (lacksDescriptors(options, call)) throw repositoryInterface.error('InvalidSpec', { message: DESCRIPTORS });
      return mount(repository, resolveImage(repository, name), options, call);
    }),
    handle(ociMethods.OciMount, async ({ handle: number, image, bootable, options }, call) => {
      using repository = await repositories.use(number, 'read', call.signal);
      const { configStream } = await openImage(repository, referenceOf(repository, image));
      const id = erofsImage(repository, configStream, bootable);
      if (id === undefined) throw new NotFoundError(`no ${bootable ? 'boot ' : ''}EROFS image belongs to "${image}"`);
      if (lacksDescriptors(options, call)) throw ociInterface.error('InternalError', { message: DESCRIPTORS });
      return mount(repository, id, options, call);
    }),
  ];
}

const DESCRIPTORS = 'a mount with an overlay takes two descriptors: of the upper and of the work directory';

function lacksDescriptors({ overlay }: MountChoice, { fds }: VarlinkCall): boolean {
  return overlay === true && fds.length !== 2;
}

function mount(repository: Repository, id: ObjectId, { overlay, read_write: readWrite }: MountChoice, { fds }: VarlinkCall): VarlinkAnswer<{ fd_index: number }> {
  const [upper, work] = fds;
  // Without an upper directory nothing could be written anywhere.
  const options = overlay === true ? { upper: { upper: upper!, work: work! }, readWrite: readWrite === true } : { readWrite: false };
  return { parameters: { fd_index: 0 }, fds: [mountStored(repository, id, options)] };
}

/** A tag, or the digest of a manifest with or without `@`. */
function referenceOf(repository: Repository, image: string): string {
  const reference = isDigest(image) && readTag(repository, image) === undefined ? `@${image}` : image;
  try {
    resolveReference(repository, reference);
  } catch (error) {
    throw error instanceof NotFoundError ? noSuchImage(image) : error;
  }
  return reference;
}
