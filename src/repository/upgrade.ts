// Repositories from before meta.json: what it would say is told by what is there.
import { constants } from 'node:fs';
import { BridgeError, FormatError } from '../errors.js';
import { COMPOSEFS_MAGIC, HEADER } from '../erofs/format/format.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';
import { listDirectory, parseObjectTarget, readLink } from './links.js';
import { createMeta } from './meta-file.js';
import { newMeta, type Meta } from './meta.js';
import type { ErofsVersion } from '../erofs/format/options.js';
import { IMAGES, isName, OBJECTS, pathAmongObjects, pathOfName, pathOfObject } from './names.js';
import { DIGEST_SIZE, type Algorithm } from '../fsverity/object-id.js';
import { readAt } from '../fd/read-file.js';

/**
 * Writes the meta.json of a repository that was made before there was one: the algorithm is that of the names of its
 * objects, it is a secure one when they have fs-verity, and new images get the EROFS format of those that are there.
 * @param path of the repository, for messages
 * @returns what was written; undefined when there is nothing to tell it by, or somebody else was quicker
 */
export function upgradeRepository(root: Fd, path: string): Meta | undefined {
  const object = firstObject(root);
  if (object === undefined) return undefined;
  using file = openBeneath(root, object.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const meta = newMeta(object.algorithm, firstImageVersion(root, object.algorithm));
  try {
    createMeta(root, path, meta, files.measureVerity(file.number) !== undefined);
    return meta;
  } catch (error) {
    if (error instanceof BridgeError && error.code === 'REPOSITORY_EXISTS') return undefined;
    throw error;
  }
}

/** Any object, with the algorithm that its name is of. */
export function firstObject(root: Fd): { path: string; algorithm: Algorithm } | undefined {
  for (const folder of listDirectory(root, OBJECTS).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
    for (const name of listDirectory(root, pathAmongObjects(folder))) {
      const algorithm = (['sha256', 'sha512'] as const).find(
        (known) => name.length === 2 * DIGEST_SIZE[known] - 2 && /^[0-9a-f]+$/.test(name),
      );
      if (algorithm !== undefined) return { path: pathAmongObjects(`${folder}/${name}`), algorithm };
    }
  }
  return undefined;
}

/** Format 2 when the first image that can be read has it, else that of a new repository. */
function firstImageVersion(root: Fd, algorithm: Algorithm): ErofsVersion {
  for (const name of listDirectory(root, IMAGES).filter(isName)) {
    try {
      using image = openBeneath(
        root,
        pathOfObject(parseObjectTarget(readLink(root, pathOfName(IMAGES, name)) ?? '', algorithm)),
        constants.O_RDONLY | constants.O_NONBLOCK,
      );
      const header = readAt(image, 0, HEADER.end);
      if (header.readUInt32LE(HEADER.magic) === COMPOSEFS_MAGIC)
        return header.readUInt32LE(HEADER.version) === 2 ? 2 : 1;
    } catch (error) {
      // What is wrong with an image is for fsck to say.
      if (!(error instanceof FormatError) && !isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    }
  }
  return 1;
}
