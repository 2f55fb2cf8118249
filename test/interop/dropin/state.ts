import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { bytesOf } from '../../../src/bytes.js';
import { openPath } from '../../../src/fd/fd.js';
import { parseObjectTarget } from '../../../src/repository/links.js';
import { type Algorithm, type ObjectId } from '../../../src/fsverity/object-id.js';
import { SplitstreamReader } from '../../../src/repository/splitstream/reader.js';
import { walk } from '../../support/walk.js';

/** What the objects are called whose name differs from run to run, by their digests. */
export type Nicknames = ReadonlyMap<ObjectId, string>;

/**
 * All there is in a repository, by path: type, mode, and the link's target or the hash of the content; sorted.
 *
 * The folder of an object is left out but for its mode: which there are follows from the objects.
 */
export function stateOf(repository: string, algorithm: Algorithm): string[] {
  if (!existsSync(repository)) return [];
  const nicknames = manifestStreams(repository, algorithm);
  const lines = new Set<string>();
  for (const entry of walk(repository)) {
    const path = entry.path.slice(repository.length + 1);
    if (isOurs(path)) continue;
    const mode = lstatSync(entry.path).mode.toString(8);
    const nickname = nicknames.get(path.replace(/^objects|\//g, ''));
    if (entry.isDirectory()) lines.add(`${path.replace(/^objects\/..$/, 'objects/xx')}/ ${mode}`);
    else if (entry.isSymbolicLink())
      lines.add(
        `${path} -> ${withNicknames(readlinkSync(entry.path, 'latin1').replace(/(?<=objects\/..)\//, ''), nicknames)}`,
      );
    else if (nickname !== undefined) lines.add(`${nickname} ${mode} ${describeStream(entry.path, algorithm)}`);
    else lines.add(`${path} ${mode} ${createHash('sha256').update(readFileSync(entry.path)).digest('hex')}`);
  }
  return [...lines].sort();
}

/** What cfsctl knows nothing of and leaves alone: marks of verified layers. */
const isOurs = (path: string): boolean => /^verified(?:\/|$)/.test(path);

/**
 * The streams of manifests. cfsctl writes their references in no fixed order, so that their bytes and digests differ
 * from run to run.
 */
export function manifestStreams(repository: string, algorithm: Algorithm): Nicknames {
  const found = new Map<ObjectId, string>();
  if (!existsSync(repository)) return found;
  for (const entry of walk(repository)) {
    const name = /\/streams\/(oci-manifest-sha256:[0-9a-f]{64})$/.exec(entry.path)?.[1];
    if (name !== undefined && entry.isSymbolicLink())
      found.set(parseObjectTarget(readlinkSync(entry.path), algorithm), `<stream of ${name}>`);
  }
  return found;
}

/** A text with nicknames for digests. */
export function withNicknames(text: string, nicknames: Nicknames): string {
  return [...nicknames].reduce((result, [id, nickname]) => result.replaceAll(id, nickname), text);
}

/** References, sorted, and size of a stream. */
function describeStream(path: string, algorithm: Algorithm): string {
  using stream = SplitstreamReader.open(openPath(bytesOf(path)), algorithm);
  const objects = Array.from({ length: stream.objects.length }, (_, index) => stream.objects.at(index));
  return JSON.stringify([[...stream.namedRefs].sort(), objects, String(stream.streamSize)]);
}
