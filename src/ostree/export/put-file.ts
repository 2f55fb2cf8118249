import { constants, fchmodSync, fchownSync, futimesSync, lchownSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import type { ByteString } from '../../bytes.js';
import { O_PATH, openBeneath, type Fd } from '../../fd/fd.js';
import { setXattr } from '../../fd/xattrs.js';
import type { Checksum } from '../object/checksum.js';
import { encodeDirMeta } from '../object/dirmeta.js';
import { isSymlink, type FileHeader } from '../object/file-header.js';
import { USER_META } from '../local/source.js';
import type { ObjectFolder } from './object-folder.js';

export type ExportMode = 'bare' | 'bare-user' | 'bare-user-only';

/**
 * Adds a file object, in the form that the mode of the repository has. Its content is cloned where that can be done,
 * and its inode is always one of its own: owner, mode and xattrs belong to that.
 * @param content an open file, which stays the caller's, or the bytes
 */
export async function putFile(
  target: ObjectFolder,
  mode: ExportMode,
  id: Checksum,
  header: FileHeader,
  content: Fd | Buffer,
): Promise<void> {
  if (isSymlink(header) && mode !== 'bare-user') return putSymlink(target, mode, id, header);
  using file = target.create(id);
  if (isSymlink(header)) writeFileSync(file.number, Buffer.from(`${header.target}\0`, 'latin1'));
  else if (Buffer.isBuffer(content)) writeFileSync(file.number, content);
  else await copyFile(pathOf(content), pathOf(file), constants.COPYFILE_FICLONE);
  if (mode === 'bare') {
    // In this order: a change of the owner takes special bits and capabilities away.
    fchownSync(file.number, header.uid, header.gid);
    fchmodSync(file.number, header.mode & 0o7777);
    setXattrs(file, header);
  } else {
    fchmodSync(file.number, modeForUser(mode, header));
    if (mode === 'bare-user') setXattr(file, USER_META, encodeDirMeta(header));
  }
  futimesSync(file.number, 0, 0);
  target.link(file, id, 'file');
}

/** Whoever the repository belongs to can read everything; special bits would give their rights away. */
function modeForUser(mode: ExportMode, header: FileHeader): number {
  if (isSymlink(header)) return 0o644;
  return mode === 'bare-user' ? (header.mode & 0o777) | 0o400 : header.mode & 0o777;
}

function putSymlink(target: ObjectFolder, mode: ExportMode, id: Checksum, header: FileHeader): void {
  target.symlink(id, header.target, (folder: Fd, name: ByteString) => {
    if (mode !== 'bare') return;
    lchownSync(`${pathOf(folder)}/${name}`, header.uid, header.gid);
    using link = openBeneath(folder, name, O_PATH | constants.O_NOFOLLOW);
    setXattrs(link, header);
  });
}

/** Without the NUL that the names have in objects. */
function setXattrs(file: Fd, { xattrs }: FileHeader): void {
  for (const [name, value] of xattrs) setXattr(file, name.replace(/\0$/, ''), Buffer.from(value, 'latin1'));
}

function pathOf(file: Fd): string {
  return `/proc/self/fd/${file.number}`;
}
