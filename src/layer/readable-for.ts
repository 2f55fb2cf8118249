import type { PeerCredentials } from '../fd/fd-passing.js';
import type { NamedChunk } from './stream.js';
import { files } from '../native.js';
import { knowsEveryId } from '../fd/cap-dac-override.js';
import { isRootOrSelf } from '../fd/peer.js';

const OTHERS_READ = 0o004;
const OTHERS_SEARCH = 0o001;

/** Bits of a mode for its owner, for its group and for others are three apart. */
const CLASS_BITS = 3;

/** Whose rights it is about. */
export interface Reader {
  uid: number;
  /** the groups that are known; more than these may let the reader read more, or less */
  gids: readonly number[];
}

/**
 * Whether a peer may open files of a layer's directory itself. Root may, and so may the user this process runs as.
 * Where that is root of a user namespace, the peer can be outside, where it is the user who made the namespace and may
 * read what is theirs. For everybody else the file must be readable and every folder on the way searchable by all;
 * otherwise the content has to be sent.
 */
export function readableFor(peer: PeerCredentials): (chunk: NamedChunk) => boolean {
  if (!isRootOrSelf(peer.uid)) return readableForAll();
  return knowsEveryId() ? () => true : readableBy({ uid: peer.uid, gids: [peer.gid] });
}

/** Whether everybody may open a file of a layer's directory. */
export function readableForAll(): (chunk: NamedChunk) => boolean {
  return readableBy(undefined);
}

/** Whether somebody may, as far as owners, groups and modes tell; undefined: anybody. */
export function readableBy(reader: Reader | undefined): (chunk: NamedChunk) => boolean {
  const folders = new Map<string, boolean>();
  const allows = (chunk: NamedChunk, name: string, bit: number): boolean => {
    const { uid, gid, mode } = files.fstatat(chunk.dir.number, name);
    // The first that applies counts, even where the next would allow more.
    const classes = reader === undefined ? 0 : uid === reader.uid ? 2 : reader.gids.includes(gid) ? 1 : 0;
    return (mode & (bit << (classes * CLASS_BITS))) !== 0;
  };
  const searchable = (chunk: NamedChunk, folder: string): boolean => {
    const known = folders.get(folder);
    if (known !== undefined) return known;
    const parent = folder.lastIndexOf('/');
    const above = folder === '' || searchable(chunk, parent < 0 ? '' : folder.slice(0, parent));
    const result = above && allows(chunk, folder, OTHERS_SEARCH);
    folders.set(folder, result);
    return result;
  };
  return (chunk) => {
    const slash = chunk.name.lastIndexOf('/');
    return searchable(chunk, slash < 0 ? '' : chunk.name.slice(0, slash)) && allows(chunk, chunk.name, OTHERS_READ);
  };
}
