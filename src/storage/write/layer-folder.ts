// The folder of a layer below `overlay`. Source: containers/storage drivers/overlay/overlay.go, `create`.
import { randomInt } from 'node:crypto';
import { constants, fchmodSync, fchownSync, writeSync } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { BridgeError, FormatError } from '../../errors.js';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { getXattr, setXattr } from '../../fd/xattrs.js';
import { LOWERS_LIMIT, STORE_LOWERS_LIMIT } from '../../limits.js';
import { files } from '../../native.js';
import { OVERRIDE_XATTR } from '../extract/entry-record.js';
import { openFile, readStoreFile } from '../read-file.js';
import { isThere, makeFolder, type StoreFolders } from './folders.js';
import { unsupported } from './settings.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const SHORT_NAME_LENGTH = 26;
const SHORT_NAME = /^[A-Z2-7]{26}$/;
/** The root of a lowest layer that says nothing of it. */
const BASE_MODE = 0o555;
const LABEL = 'security.selinux';

/** Whose a folder is, and with which mode. */
interface Owner {
  uid: number;
  gid: number;
  mode: number;
}

/** What a layer has below it: names of its folder, and ids; the nearest first. */
interface Lowers {
  names: string;
  ids: string;
}

/**
 * Makes the folder of a layer where nobody looks, all but the files of the layer.
 * @param staging where it is made
 * @param name of the folder
 * @param parent id of the layer below, undefined for the lowest
 * @param forceMask mode of all files and folders, if there is one
 * @returns the open folder `diff`, to be filled
 * @throws BridgeError `LAYER_GONE`, `STORE_UNSUPPORTED`; an error with `code` of the system
 */
export function stageLayerFolder(
  folders: StoreFolders,
  staging: Fd,
  name: ByteString,
  parent: string | undefined,
  forceMask: number | undefined,
): Fd {
  const owner = parent === undefined ? { uid: 0, gid: 0, mode: BASE_MODE } : ownerOfParent(folders, parent);
  const forced = forceMask === undefined ? owner : { uid: 0, gid: 0, mode: forceMask };
  using folder = makeFolder(staging, name, 0o700);
  label(folders.trees, folder);
  using diff = makeFolder(folder, 'diff', 0o700);
  label(folders.trees, diff);
  for (const inner of ['work', 'merged', ...(parent === undefined ? ['empty'] : [])]) {
    using made = makeFolder(folder, inner, 0o700);
    fchownSync(made.number, forced.uid, forced.gid);
  }
  if (parent !== undefined) writeLowers(folder, lowersOf(folders, parent));
  fchownSync(diff.number, forced.uid, forced.gid);
  fchmodSync(diff.number, forced.mode);
  return diff.move();
}

/**
 * Gives a layer that was staged its place. The lock of the layers is held.
 * @param staging the folder where it was staged as `name`
 * @throws BridgeError `LAYER_GONE`; an error with `code` of the system
 */
export function commitLayerFolder(
  folders: StoreFolders,
  staging: Fd,
  name: ByteString,
  id: string,
  parent: string | undefined,
): void {
  {
    using folder = openBeneath(staging, name, DIRECTORY);
    // The one below may have been removed and written again meanwhile, under another short name.
    if (parent !== undefined) writeLowers(folder, lowersOf(folders, parent));
    // The name is known before the link is there: whoever clears up after a process that died here finds it.
    for (;;) {
      const shortName = newShortName();
      if (isThere(folders.links, shortName)) continue;
      writeSmallFile(folder, 'link', shortName, 0o644);
      files.renameat2(staging.number, name, folders.trees.number, id, 0);
      files.symlinkat(`../${id}/diff`, folders.links.number, shortName);
      return;
    }
  }
}

/** The name below `overlay/l` of a layer's folder; undefined when it has none, or is not there. */
export function shortNameOf(trees: Fd, id: string): string | undefined {
  try {
    const name = readStoreFile({ dir: trees, owner: undefined }, `${id}/link`, SHORT_NAME_LENGTH)?.toString('latin1');
    return name !== undefined && SHORT_NAME.test(name) ? name : undefined;
  } catch (error) {
    if (error instanceof FormatError || isErrno(error, 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

/** Whether the files of a layer are there, and the recipe of its tar. */
export function isLayerThere({ trees, layers }: StoreFolders, id: string): boolean {
  try {
    openBeneath(trees, `${id}/diff`, DIRECTORY).close();
    using recipe = openFile({ dir: layers, owner: undefined }, `${id}.tar-split.gz`);
    return recipe !== undefined && shortNameOf(trees, id) !== undefined;
  } catch (error) {
    if (error instanceof FormatError || isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    throw error;
  }
}

/** A new layer looks like the one below it. */
function ownerOfParent({ graphroot, trees }: StoreFolders, parent: string): Owner {
  if (isThere(trees, parent) && isThere(trees, `${parent}/composefs-data`))
    throw unsupported(graphroot, `layer ${parent} is stored for composefs`, 'remove the images that use it');
  try {
    using diff = openBeneath(trees, `${parent}/diff`, DIRECTORY);
    const { uid, gid, mode } = diff.stat();
    const override = getXattr(diff, OVERRIDE_XATTR)?.toString('latin1');
    return (override === undefined ? undefined : parseOverride(override)) ?? { uid, gid, mode: mode & 0o7777 };
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw gone(parent, error);
    throw error;
  }
}

function lowersOf({ graphroot, trees }: StoreFolders, parent: string): Lowers {
  const store = { dir: trees, owner: undefined };
  const shortName = shortNameOf(trees, parent);
  if (shortName === undefined) throw gone(parent);
  const [names, ids] = ['lower', 'lower-layers'].map((file) =>
    readStoreFile(store, `${parent}/${file}`, STORE_LOWERS_LIMIT)?.toString('latin1'),
  );
  const lowers = names?.split(':') ?? [];
  if (lowers.length + 1 > LOWERS_LIMIT)
    throw unsupported(graphroot, `no more than ${LOWERS_LIMIT} layers can be mounted`, 'squash the image');
  return {
    names: [`l/${shortName}`, ...lowers].join(':'),
    ids: [parent, ...(ids?.split(':') ?? lowers.map((lower) => idBehind(trees, lower)))].join(':'),
  };
}

/** What a layer's short name stands for; older programs wrote no other. */
function idBehind(trees: Fd, lower: string): string {
  const id = /^\.\.\/([^/]+)\/diff$/.exec(files.readlinkat(trees.number, lower))?.[1];
  if (id === undefined) throw gone(lower);
  return id;
}

function writeLowers(folder: Fd, { names, ids }: Lowers): void {
  for (const [file, text] of [
    ['lower', names],
    ['lower-layers', ids],
  ] as const)
    if (readStoreFile({ dir: folder, owner: undefined }, file, STORE_LOWERS_LIMIT)?.toString('latin1') !== text)
      writeSmallFile(folder, file, text, 0o666);
}

function writeSmallFile(folder: Fd, name: ByteString, text: string, mode: number): void {
  using file = openBeneath(folder, name, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, mode);
  if (writeSync(file.number, text) < text.length)
    throw Object.assign(new Error(`${name} is cut short`), { code: 'ENOSPC', syscall: 'write' });
}

function newShortName(): string {
  return Array.from({ length: SHORT_NAME_LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('');
}

/** Files that are made in a folder get its label; a folder that was moved there would keep another one. */
function label(from: Fd, to: Fd): void {
  const wanted = getXattr(from, LABEL);
  if (wanted !== undefined && getXattr(to, LABEL)?.equals(wanted) !== true) setXattr(to, LABEL, wanted);
}

/** What `OVERRIDE_XATTR` says. Source: containers/storage pkg/idtools, `Stat`. */
function parseOverride(text: string): Owner | undefined {
  const [, uid, gid, mode] = /^(\d{1,10}):(\d{1,10}):([0-7]{1,7})(?::|$)/.exec(text) ?? [];
  return mode === undefined
    ? undefined
    : { uid: Number(uid), gid: Number(gid), mode: Number.parseInt(mode, 8) & 0o7777 };
}

function gone(parent: string, cause?: unknown): BridgeError {
  return new BridgeError('LAYER_GONE', 'the layer below is not in the store any more; write the image again', {
    cause,
    place: { layer: parent },
  });
}
