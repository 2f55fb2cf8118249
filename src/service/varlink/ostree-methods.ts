// Commits of ostree: listing, showing, naming, mounting and exporting them.
import type { ByteString } from '../../bytes.js';
import { NotFoundError } from '../../errors.js';
import { ForeignFd } from '../../fd/foreign-fd.js';
import { applyDeltaFile } from '../../ostree/delta/apply-file.js';
import { inspectCommit } from '../../ostree/details.js';
import { exportCommitTo } from '../../ostree/export/export-to.js';
import { fetchSummary } from '../../ostree/http/fetch-summary.js';
import { OstreeRemote } from '../../ostree/http/remote.js';
import { ensureImage } from '../../ostree/image/ensure-image.js';
import { listCommitRefs, removeCommitRef, resolveStored, writeStoredRef } from '../../ostree/refs.js';
import { readStored } from '../../ostree/stream/read-commit.js';
import { erofsVersions } from '../../repository/meta.js';
import type { Repository } from '../../repository/repository.js';
import { ostreeInterface, ostreeMethods } from '../../rpc/contracts/ostree.js';
import { implement, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { DESCRIPTORS, lacksDescriptors, mount } from './mount-methods.js';

export function ostreeHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [
    implement(ostreeMethods.ListCommits, async ({ handle }, { signal }) => {
      using repository = await repositories.use(handle, 'read', signal);
      return { parameters: { commits: listCommitRefs(repository).map(({ name, commit }) => ({ name, commit })) } };
    }),
    implement(ostreeMethods.Inspect, async ({ handle, commit }, { signal }) => {
      using repository = await repositories.use(handle, 'read', signal);
      storedOf(repository, commit);
      const details = await inspectCommit(repository, commit, { signal });
      const { stream, image, parent, subject, body, objects } = details;
      const timestamp = Number(details.timestamp);
      return {
        parameters: {
          commit: details.commit,
          verity: stream,
          image: image ?? null,
          parent: parent ?? null,
          subject,
          body,
          timestamp: Number.isSafeInteger(timestamp) ? timestamp : null,
          objects,
        },
      };
    }),
    implement(ostreeMethods.Tag, async ({ handle, commit, name }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      if (writeStoredRef(repository, name, storedOf(repository, commit))) await repository.sync();
      return { parameters: {} };
    }),
    implement(ostreeMethods.Untag, async ({ handle, name }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      if (!removeCommitRef(repository, name)) throw noSuchCommit(name);
      await repository.sync();
      return { parameters: {} };
    }),
    implement(ostreeMethods.ComputeId, async ({ handle, commit }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      const stored = await readStored(repository, storedOf(repository, commit), signal);
      const { image } = await ensureImage(repository, stored, erofsVersions(repository.meta)[0] ?? 1);
      return { parameters: { image_id: image } };
    }),
    implement(ostreeMethods.Mount, async ({ handle, commit, options }, call) => {
      using repository = await repositories.use(handle, 'read', call.signal);
      if (lacksDescriptors(options, call)) throw ostreeInterface.error('InvalidRequest', { message: DESCRIPTORS });
      const { id, image } = await readStored(repository, storedOf(repository, commit), call.signal);
      if (image === undefined) throw new NotFoundError(`commit ${id} has no image; ComputeId makes it`);
      await ForeignFd.check(call.fds, call.signal);
      return mount(repository, image, options, call);
    }),
    implement(ostreeMethods.Export, async ({ handle, commit, path, reference }, { signal }) => {
      using repository = await repositories.use(handle, 'read', signal);
      storedOf(repository, commit);
      const id = await exportCommitTo(repository, commit, path, { ref: reference ?? undefined, signal });
      return { parameters: { commit: id } };
    }),
    implement(ostreeMethods.ApplyDelta, async ({ handle, path }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      const { commit, stream, image, metadata, files } = await applyDeltaFile(repository, path, { signal });
      return { parameters: { commit, verity: stream, image, metadata, files } };
    }),
    implement(ostreeMethods.ListRefs, async ({ handle, url, subset }, { signal }) => {
      await using remote = new OstreeRemote(url);
      using repository = await repositories.use(handle, 'write', signal);
      const summary = await fetchSummary(remote, repository, { subset: subset ?? undefined, signal });
      if (summary === undefined) throw new NotFoundError('the server has no summary');
      const refs = Array.from(summary.refs, ([name, commit]) => ({ name, commit }));
      return { parameters: { refs: refs.sort((a, b) => (a.name < b.name ? -1 : 1)) } };
    }),
  ];
}

/** @throws NoSuchCommit; BridgeError `AMBIGUOUS_COMMIT`, FormatError */
function storedOf(repository: Repository, commit: string): ByteString {
  try {
    return resolveStored(repository, commit);
  } catch (error) {
    throw error instanceof NotFoundError ? noSuchCommit(commit) : error;
  }
}

function noSuchCommit(commit: string): Error {
  return ostreeInterface.error('NoSuchCommit', { commit });
}
