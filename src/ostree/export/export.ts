import { BridgeError, DigestMismatchError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { files as native } from '../../native.js';
import type { Repository } from '../../repository/repository.js';
import { fileChecksum } from '../file-checksum.js';
import type { OstreeFolder } from '../local/repository.js';
import type { Checksum } from '../object/checksum.js';
import { parseCommit } from '../object/commit.js';
import { parseDirMeta } from '../object/dirmeta.js';
import { parseDirTree } from '../object/dirtree.js';
import type { FileHeader } from '../object/file-header.js';
import type { CommitObjects } from '../stream/commit-objects.js';
import type { StoredCommit } from '../stream/read-commit.js';
import { putFile, type ExportMode } from './put-file.js';
import { ObjectFolder } from './object-folder.js';

/** What of a commit is needed to export it. */
export type ExportedCommit = Omit<StoredCommit, 'stream' | 'image'>;

/**
 * Writes a commit into a repository of ostree on this machine. What refers to something is written after it, and the
 * ref last, when all is on the disk: an export that is interrupted leaves objects that nothing refers to.
 * @param ref the name it gets there
 * @throws BridgeError `UNSUPPORTED` for a mode that cannot have the commit, and a part of a
 *   commit; FormatError for a damaged commit
 */
export async function exportCommit(
  repository: Repository,
  { id, objects, form }: ExportedCommit,
  folder: OstreeFolder,
  { ref, signal }: { ref?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  if (form.subpaths.length > 0)
    throw new BridgeError('UNSUPPORTED', `only a part of commit ${id} is here: pull all of it`);
  const mode = exportMode(folder);
  const order = inOrder(objects);
  if (mode === 'bare-user-only') checkCanonical(objects, order);
  const target = new ObjectFolder(folder.objects);
  for (const file of order.files) {
    signal?.throwIfAborted();
    if (target.has(file, 'file')) continue;
    const { header, inline, object } = objects.file(file);
    using content = object === undefined ? undefined : await openContent(repository, file, header, object);
    await putFile(target, mode, file, header, content ?? inline);
  }
  for (const meta of order.metas) target.put(meta, 'dirmeta', objects.metadata('dirmeta', meta));
  for (const tree of order.trees) target.put(tree, 'dirtree', objects.metadata('dirtree', tree));
  await native.syncfs(folder.objects.number);
  target.put(id, 'commit', objects.metadata('commit', id));
  await native.syncfs(folder.objects.number);
  if (ref !== undefined) folder.writeRef(ref, id);
}

function exportMode({ mode }: OstreeFolder): ExportMode {
  if (mode === 'archive' || mode === 'bare-split-xattrs')
    throw new BridgeError('UNSUPPORTED', `Export to ${mode}-mode repositories is not supported`);
  return mode;
}

interface Order {
  readonly files: ReadonlySet<Checksum>;
  readonly metas: ReadonlySet<Checksum>;
  /** those below before those above */
  readonly trees: ReadonlySet<Checksum>;
}

function inOrder(objects: CommitObjects): Order {
  const commit = parseCommit(objects.metadata('commit', objects.commit));
  const order = { files: new Set<Checksum>(), metas: new Set([commit.meta]), trees: new Set<Checksum>() };
  const found = new Set<Checksum>();
  const pending: { tree: Checksum; done: boolean }[] = [{ tree: commit.tree, done: false }];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (at.done) {
      order.trees.add(at.tree);
      continue;
    }
    if (found.has(at.tree)) continue;
    found.add(at.tree);
    pending.push({ tree: at.tree, done: true });
    const { files, folders } = parseDirTree(objects.metadata('dirtree', at.tree));
    for (const { id } of files) order.files.add(id);
    for (const { tree, meta } of folders) {
      order.metas.add(meta);
      pending.push({ tree, done: false });
    }
  }
  return order;
}

/** @throws BridgeError `UNSUPPORTED`: owners, xattrs and special bits would be lost, and with them the ids */
function checkCanonical(objects: CommitObjects, { files, metas }: Order): void {
  for (const id of metas) checkPlain('dirmeta', id, parseDirMeta(objects.metadata('dirmeta', id)), 0o7777);
  for (const id of files) {
    const { header } = objects.file(id);
    checkPlain('file', id, header, header.target === '' ? 0o775 : 0o777);
  }
}

function checkPlain(
  kind: string,
  id: Checksum,
  { uid, gid, mode, xattrs }: Omit<FileHeader, 'target'>,
  allowed: number,
): void {
  if (uid === 0 && gid === 0 && xattrs.size === 0 && (mode & 0o7777 & ~allowed) === 0) return;
  throw new BridgeError(
    'UNSUPPORTED',
    `a bare-user-only repository has no owners, xattrs, special modes; ${kind} ${id} has: take bare or bare-user`,
  );
}

/** What others can change is verified. */
async function openContent(repository: Repository, id: Checksum, header: FileHeader, object: string): Promise<Fd> {
  using content = repository.objects.open(object);
  if (!repository.believed) {
    const actual = await fileChecksum(repository, header, content);
    if (actual !== id) throw new DigestMismatchError(`file ${id} of the commit`, id, actual);
  }
  return content.move();
}
