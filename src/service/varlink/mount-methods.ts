// Mounts that are attached nowhere, for the client to put where it wants them.
import { NotFoundError } from '../../errors.js';
import { ForeignFd } from '../../fd/foreign-fd.js';
import { isRootOrSelf } from '../../fd/peer.js';
import { forbidSetuid } from '../../fd/sealed-clone.js';
import { erofsImage, openImage, resolveReference } from '../../oci/image/image.js';
import { isDigest } from '../../spec/manifest.js';
import { resolveImage } from '../../repository/image-name.js';
import { mountStored } from '../../mount/mount-stored.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { readTag } from '../../repository/tags.js';
import { implement, type VarlinkReply, type VarlinkCall, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { ociInterface, ociMethods } from '../../rpc/contracts/oci.js';
import { noSuchImage } from './image-methods.js';
import { repositoryInterface, repositoryMethods, type MountChoice } from '../../rpc/contracts/repository.js';

export function mountHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    implement(repositoryMethods.Mount, async ({ handle, name, options }, call) => {
      using repository = await repositories.use(handle, 'read', call.signal);
      if (lacksDescriptors(options, call)) throw repositoryInterface.error('InvalidSpec', { message: DESCRIPTORS });
      await ForeignFd.check(call.fds, call.signal);
      return mount(repository, resolveImage(repository, name), options, call);
    }),
    implement(ociMethods.OciMount, async ({ handle, image, bootable, options }, call) => {
      using repository = await repositories.use(handle, 'read', call.signal);
      const { configStream } = await openImage(repository, referenceOf(repository, image));
      const id = erofsImage(repository, configStream, bootable);
      if (id === undefined) throw new NotFoundError(`no ${bootable ? 'boot ' : ''}EROFS image belongs to "${image}"`);
      if (lacksDescriptors(options, call)) throw ociInterface.error('InternalError', { message: DESCRIPTORS });
      await ForeignFd.check(call.fds, call.signal);
      return mount(repository, id, options, call);
    }),
  ];
}

/** What is said where they are missing. */
export const DESCRIPTORS = 'a mount with an overlay takes two descriptors: of the upper and of the work directory';

export function lacksDescriptors({ overlay }: MountChoice, { fds }: VarlinkCall): boolean {
  return overlay === true && fds.length !== 2;
}

/** The reply that brings a mount; closed when it cannot be sent. */
export function mount(
  repository: Repository,
  id: ObjectId,
  { overlay, read_write: readWrite }: MountChoice,
  { fds, peer }: VarlinkCall,
): VarlinkReply<{ fd_index: number }> {
  const [upper, work] = fds;
  // Without an upper directory nothing could be written anywhere.
  const options =
    overlay === true ? { upper: { upper: upper!, work: work! }, readWrite: readWrite === true } : { readWrite: false };
  const mounted = mountStored(repository, id, options);
  try {
    // A stranger brings images of its own: their setuid programs would make it root.
    if (!isRootOrSelf(peer.uid)) forbidSetuid(mounted);
    return { parameters: { fd_index: 0 }, fds: [mounted] };
  } catch (error) {
    mounted.close();
    throw error;
  }
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
