import { NotFoundError } from '../../errors.js';
import { OSTREE_METADATA_LIMIT } from '../../limits.js';
import type { Checksum } from '../object/checksum.js';
import { deletedCommit, TOMBSTONE } from '../object/tombstone.js';
import { HeaderReader } from '../object/file-header.js';
import { readFilez } from '../pull/filez.js';
import type { ObjectSource } from '../pull/source.js';
import { PARALLEL_REQUESTS, type OstreeRemote } from './remote.js';

/** The objects of a repository that a server has. */
export function remoteSource(remote: OstreeRemote): ObjectSource {
  const headers = new HeaderReader();
  return {
    parallel: PARALLEL_REQUESTS,
    // There is no file to share; what comes is hashed as it comes.
    policy: { take: 'copy', trusted: true },
    metadata: async (kind, id, signal) => {
      const path = objectPath(id, kind);
      const bytes = await remote.bytes(path, OSTREE_METADATA_LIMIT, signal);
      if (bytes !== undefined) return bytes;
      if (kind === 'commit' && (await remote.bytes(objectPath(id, TOMBSTONE), OSTREE_METADATA_LIMIT, signal)))
        throw deletedCommit(id);
      throw new NotFoundError(`Missing ${kind} ${id}: ${remote.at(path).href} is not there`);
    },
    file: async (id, signal) => await readFilez(await remote.file(objectPath(id, 'filez'), signal), headers),
  };
}

/** Where an object is, relative to the repository. @param extension its kind, or what there is about it */
export function objectPath(id: Checksum, extension: string): string {
  return `objects/${id.slice(0, 2)}/${id.slice(2)}.${extension}`;
}
