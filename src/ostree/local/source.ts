import { constants } from 'node:fs';
import { FormatError, NotFoundError } from '../../errors.js';
import { BeginningReader, type Beginning } from '../../fd/beginnings.js';
import { isErrno, O_PATH, type Fd } from '../../fd/fd.js';
import { readAt, readSmallFile } from '../../fd/read-file.js';
import { getXattr, listXattrs } from '../../fd/xattrs.js';
import { OSTREE_HEADER_LIMIT, OSTREE_METADATA_LIMIT, PATH_LIMIT } from '../../limits.js';
import { files as native, type FileStat } from '../../native.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import { NO_XATTRS, type Xattrs } from '../../tree/tree.js';
import type { Checksum } from '../object/checksum.js';
import { parseFileMeta } from '../object/dirmeta.js';
import { HeaderReader, isSymlink, type FileHeader } from '../object/file-header.js';
import { deletedCommit, TOMBSTONE } from '../object/tombstone.js';
import { readXattrs } from '../object/xattrs.js';
import { BEGINNING, openFilez } from '../pull/filez.js';
import type { MetadataKind, ObjectSource, SourceFile } from '../pull/source.js';
import type { RepositoryMode } from './config.js';
import { isThere, objectPath, openObject, orMissingObject, type OstreeFolder } from './repository.js';

/** So many files are opened at the same time: threads open a few each, and have the next few before they are done. */
const PARALLEL = 128;
/** Where bare-user repositories keep what a file would have if it were root's. */
export const USER_META = 'user.ostreemeta';

/** Reads the objects of a repository on this machine. */
export function folderSource({ objects, mode }: OstreeFolder, policy: LayerPolicy): ObjectSource {
  const beginnings = new BeginningReader(objects, BEGINNING);
  const headers = new HeaderReader();
  const open = async (id: Checksum, extension: string): Promise<Beginning> => {
    try {
      return await beginnings.open(objectPath(id, extension));
    } catch (error) {
      throw orMissingObject(error, id, extension);
    }
  };
  return {
    parallel: PARALLEL,
    policy,
    metadata: async (kind: MetadataKind, id: Checksum) =>
      kind === 'commit' ? readCommit(objects, id) : readMetadata(await open(id, kind)),
    file: async (id, signal) =>
      mode === 'archive' ? openFilez(await open(id, 'filez'), headers, signal) : READERS[mode](objects, id),
  };
}

function readMetadata({ bytes, fd }: Beginning): Buffer {
  if (fd === undefined) return bytes;
  using file = fd;
  return readSmallFile(file, OSTREE_METADATA_LIMIT);
}

function readCommit(objects: Fd, id: Checksum): Buffer {
  using file = openCommit(objects, id);
  return readSmallFile(file, OSTREE_METADATA_LIMIT);
}

function openCommit(objects: Fd, id: Checksum): Fd {
  try {
    return openObject(objects, id, 'commit');
  } catch (error) {
    throw error instanceof NotFoundError && isThere(objects, id, TOMBSTONE) ? deletedCommit(id) : error;
  }
}

type BareMode = Exclude<RepositoryMode, 'archive'>;

/** Where the header comes from, where files are plain. */
const READERS: Readonly<Record<BareMode, (objects: Fd, id: Checksum) => Promise<SourceFile>>> = {
  bare: async (objects, id) =>
    plain(objects, id, (file, { uid, gid, mode }) => ({ uid, gid, mode, xattrs: withNul(listXattrs(file)) })),
  'bare-user': async (objects, id) => userFile(objects, id),
  'bare-user-only': async (objects, id) =>
    plain(objects, id, (_, { mode }) => ({ uid: 0, gid: 0, mode, xattrs: NO_XATTRS })),
  'bare-split-xattrs': async (objects, id) =>
    plain(objects, id, (_, { uid, gid, mode }) => ({ uid, gid, mode, xattrs: splitXattrs(objects, id) })),
};

/** A file or symlink as it is. */
function plain(
  objects: Fd,
  id: Checksum,
  describe: (file: Fd, stat: FileStat) => Omit<FileHeader, 'target'>,
): SourceFile {
  using file = openFileOrLink(objects, id);
  const stat = file.stat();
  const header = { ...describe(file, stat), target: '' };
  if (isSymlink(stat))
    return { header: { ...header, target: native.readlinkat(file.number, '') }, size: 0, content: { kind: 'none' } };
  return fileOf(file, stat, id, header);
}

function openFileOrLink(objects: Fd, id: Checksum): Fd {
  try {
    return openObject(objects, id, 'file');
  } catch (error) {
    if (isErrno(error, 'ELOOP')) return openObject(objects, id, 'file', O_PATH | constants.O_NOFOLLOW);
    throw error;
  }
}

/** A file that belongs to whoever wrote it, with the rest in an xattr; symlinks are files that hold their target. */
function userFile(objects: Fd, id: Checksum): SourceFile {
  using file = openObject(objects, id, 'file');
  const meta = getXattr(file, USER_META);
  if (meta === undefined) throw damaged(id, `has no xattr ${USER_META}`);
  const header = { ...parseFileMeta(meta), target: '' };
  const stat = file.stat();
  if (!isSymlink(header)) return fileOf(file, stat, id, header);
  if (stat.size > PATH_LIMIT + 1) throw damaged(id, `is a symlink to ${stat.size} bytes`);
  const target = readAt(file, 0, stat.size).toString('latin1').replace(/\0$/, '');
  return { header: { ...header, target }, size: 0, content: { kind: 'none' } };
}

/** @param file moves into the result */
function fileOf(file: Fd, { mode, size }: FileStat, id: Checksum, header: FileHeader): SourceFile {
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw damaged(id, 'is no regular file and no symlink');
  if (size === 0) return { header, size, content: { kind: 'none' } };
  return { header, size, content: { kind: 'file', fd: file.move() } };
}

function splitXattrs(objects: Fd, id: Checksum): Xattrs {
  using file = openObject(objects, id, 'file-xattrs-link');
  return readXattrs(readSmallFile(file, OSTREE_HEADER_LIMIT));
}

/** As objects have the names. */
function withNul(xattrs: Xattrs): Xattrs {
  return new Map([...xattrs].map(([name, value]) => [`${name}\0`, value]));
}

function damaged(id: Checksum, what: string): FormatError {
  return new FormatError('OSTREE_OBJECT', `${id}.file in the ostree repository ${what}`);
}
