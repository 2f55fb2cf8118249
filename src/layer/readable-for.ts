import type { PeerCredentials } from '../fd/fd-passing.js';
import type { NamedChunk } from './stream.js';
import { files } from '../native.js';
import { knowsEveryId } from '../fd/cap-dac-override.js';
import { isRootOrSelf } from '../fd/peer.js';

const OTHERS_READ = 0o004;
const OTHERS_SEARCH = 0o001;

/**
 * Whether a peer may open files of a layer's directory itself. Root may, and so may the user this process runs as,
 * unless that is root of a user namespace: the peer can be outside, where files have other owners. For everybody else
 * the file must be readable and every folder on the way searchable by all; otherwise the content has to be sent.
 */
export function readableFor(peer: PeerCredentials): (chunk: NamedChunk) => boolean {
  if (isRootOrSelf(peer.uid) && knowsEveryId()) return () => true;
  return readableForAll();
}

/** Whether everybody may open a file of a layer's directory. */
export function readableForAll(): (chunk: NamedChunk) => boolean {
  const folders = new Map<string, boolean>();
  const allows = (chunk: NamedChunk, name: string, bit: number): boolean =>
    (files.fstatat(chunk.dir.number, name).mode & bit) !== 0;
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
