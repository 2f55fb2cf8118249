import { FormatError } from '../errors.js';
import { verityDigest } from '../fsverity/digest.js';
import { CONFIG_FILE_LIMIT } from '../limits.js';
import type { Regular } from '../tree/tree.js';
import type { ObjectStore } from './objects.js';
import { readSmallFile } from '../fd/read-file.js';

/**
 * The content of a file of a tree whose objects are in a repository.
 * @throws NotFoundError for a missing object; FormatError `FILE_TOO_LARGE`, `OBJECT_DAMAGED`, `CONTENT_UNKNOWN` for a
 *   tree that does not say which object it is
 */
export function readContent(objects: ObjectStore, { content }: Regular): Buffer {
  switch (content.kind) {
    case 'empty':
      return Buffer.alloc(0);
    case 'inline':
      return content.bytes;
    case 'external':
      throw new FormatError('CONTENT_UNKNOWN', 'a file has to be read whose object is not known');
    case 'object': {
      using file = objects.open(content.id);
      const bytes = readSmallFile(file, CONFIG_FILE_LIMIT);
      if (verityDigest(bytes, objects.algorithm).toString('hex') !== content.id)
        throw new FormatError('OBJECT_DAMAGED', `object ${content.id} is damaged`);
      return bytes;
    }
  }
}
