// Commits of ostree: listing, showing, naming, mounting and exporting them.
import type { ByteString } from '../../bytes.js';
import { printDump } from '../../erofs/dumpfile/print.js';
import { NotFoundError } from '../../errors.js';
import { ForeignFd } from '../../fd/foreign-fd.js';
import { exportImageTo } from '../../oci/image/export-image.js';
import { commitSource } from '../../ostree/commit/commit-source.js';
import { applyDeltaFile } from '../../ostree/delta/apply-file.js';
import { inspectCommit } from '../../ostree/details.js';
import type { CommitObject } from '../../ostree/inspect.js';
import { exportCommitTo } from '../../ostree/export/export-to.js';
import { listServerRefs } from '../../ostree/http/list-refs.js';
import { listCommitObjects } from '../../ostree/list-objects.js';
import { DEAD_XATTRS, hasDeadXattrs } from '../../ostree/image/dead-xattrs.js';
import { commitImage } from '../../ostree/image/ensure-image.js';
import { findImage } from '../../ostree/image/find-image.js';
import { readCommitTree } from '../../ostree/image/read-tree.js';
import { listCommitRefs, removeCommitRef, resolveStored, tagCommit } from '../../ostree/refs.js';
import { readStored } from '../../ostree/stream/read-commit.js';
import type { Repository } from '../../repository/repository.js';
import { ostreeInterface, ostreeMethods } from '../../rpc/contracts/ostree.js';
import { implement, type VarlinkCall, type VarlinkHandler, type VarlinkReplies } from '../../rpc/varlink/server.js';
import { serviceErrors } from '../../rpc/varlink/service-interface.js';
import {
  checkMayNameFiles,
  checksOf,
  erofsVersionOf,
  formOf,
  invalidRequest,
  remoteOf,
  timestampOf,
} from './commit-options.js';
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
      const { stream, image, parent, subject, body, tree, dirmeta, metadata, form, objects } = details;
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
          tree,
          dirmeta,
          metadata: [...metadata],
          fix_xattrs: form.fixXattrs,
          subpaths: [...form.subpaths],
          objects,
        },
      };
    }),
    implement(ostreeMethods.ListObjects, (parameters, call) => listObjects(repositories, parameters, call)),
    implement(ostreeMethods.Dump, (parameters, call) => dump(repositories, parameters, call)),
    implement(ostreeMethods.Commit, async ({ handle, source, ...choice }, call) => {
      const { signal } = call;
      using repository = await repositories.use(handle, 'write', signal);
      if (source.startsWith('/')) checkMayNameFiles(call);
      if (/^\.{1,2}\//.test(source)) throw invalidRequest('the path of a folder begins with /');
      const { commit, stream, image } = await commitSource(repository, source, {
        ref: choice.reference ?? undefined,
        subject: choice.subject ?? undefined,
        timestamp: timestampOf(choice.timestamp),
        erofsVersion: erofsVersionOf(choice.erofs_version),
        signal,
      });
      return { parameters: { commit, verity: stream, image } };
    }),
    implement(ostreeMethods.Tag, async ({ handle, commit, name }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      storedOf(repository, commit);
      await tagCommit(repository, commit, name);
      return { parameters: {} };
    }),
    implement(ostreeMethods.Untag, async ({ handle, name }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      if (!removeCommitRef(repository, name)) throw noSuchCommit(name);
      await repository.sync();
      return { parameters: {} };
    }),
    implement(ostreeMethods.ComputeId, async ({ handle, commit, erofs_version: version }, { signal }) => {
      {
        using repository = await repositories.use(handle, 'read', signal);
        storedOf(repository, commit);
        const found = await findImage(repository, commit, signal);
        if (found !== undefined) return { parameters: { image_id: found } };
      }
      using repository = await repositories.use(handle, 'write', signal);
      storedOf(repository, commit);
      const image = await commitImage(repository, commit, { erofsVersion: erofsVersionOf(version), signal });
      return { parameters: { image_id: image } };
    }),
    implement(ostreeMethods.Mount, async ({ handle, commit, options }, call) => {
      using repository = await repositories.use(handle, 'read', call.signal);
      if (lacksDescriptors(options, call)) throw invalidRequest(DESCRIPTORS);
      const stored = await readStored(repository, storedOf(repository, commit), call.signal);
      const { id, image } = stored;
      if (image === undefined) throw new NotFoundError(`commit ${id} has no image; ComputeId makes it`);
      const message = hasDeadXattrs(repository, stored) ? DEAD_XATTRS : null;
      await ForeignFd.check(call.fds, call.signal);
      const { parameters, ...rest } = mount(repository, image, options, call);
      return { parameters: { ...parameters, message }, ...rest };
    }),
    implement(ostreeMethods.Export, async ({ handle, commit, path, reference, oci, ...choice }, { signal }) => {
      using repository = await repositories.use(handle, 'read', signal);
      const options = { ref: reference ?? undefined, signal };
      if (oci === true) {
        const said = { subject: choice.subject ?? undefined, timestamp: timestampOf(choice.timestamp) };
        return { parameters: { commit: await exportImageTo(repository, commit, path, { ...options, ...said }) } };
      }
      storedOf(repository, commit);
      return { parameters: { commit: await exportCommitTo(repository, commit, path, options) } };
    }),
    implement(ostreeMethods.ApplyDelta, async ({ handle, path, reference, ...choice }, { signal }) => {
      using repository = await repositories.use(handle, 'write', signal);
      const ref = reference ?? undefined;
      const form = formOf(choice.fix_xattrs, undefined);
      if (form.fixXattrs && ref === undefined)
        throw invalidRequest('fix_xattrs without a reference: such an image is found by its name only');
      const { commit, stream, image, metadata, files, ...rest } = await applyDeltaFile(repository, path, {
        ...checksOf(choice.verification),
        ref,
        form,
        erofsVersion: erofsVersionOf(choice.erofs_version),
        signal,
      });
      const made = { commit, verity: stream, image, name: rest.ref ?? null };
      return { parameters: { ...made, metadata, files, delta_parts: rest.deltaParts ?? null } };
    }),
    implement(ostreeMethods.ListRefs, async ({ handle, url, subset, server }, call) => {
      const { signal } = call;
      const options = remoteOf(server, call);
      using repository = await repositories.use(handle, 'write', signal);
      const refs = await listServerRefs(repository, url, { ...options, subset: subset ?? undefined, signal });
      return { parameters: { refs: refs.map(({ name, commit }) => ({ name, commit })) } };
    }),
  ];
}

async function* dump(
  repositories: ConnectionRepositories,
  { handle, commit }: { handle: number; commit: string },
  { more, signal }: VarlinkCall,
): VarlinkReplies<{ text: string }> {
  if (!more) throw serviceErrors.expectedMore();
  using repository = await repositories.use(handle, 'read', signal);
  storedOf(repository, commit);
  let last = '';
  for (const lines of printDump(await readCommitTree(repository, commit, { signal }))) {
    if (last !== '') yield { parameters: { text: last } };
    last = lines.toString('latin1');
  }
  return { parameters: { text: last } };
}

/** So many objects are in one reply. */
const OBJECTS = 256;

async function* listObjects(
  repositories: ConnectionRepositories,
  { handle, commit }: { handle: number; commit: string },
  { more, signal }: VarlinkCall,
): VarlinkReplies<{ objects: CommitObject[] }> {
  if (!more) throw serviceErrors.expectedMore();
  using repository = await repositories.use(handle, 'read', signal);
  storedOf(repository, commit);
  let objects: CommitObject[] = [];
  for await (const object of listCommitObjects(repository, commit, { signal })) {
    if (objects.length === OBJECTS) {
      yield { parameters: { objects } };
      objects = [];
    }
    objects.push(object);
  }
  return { parameters: { objects } };
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
