import { isUtf8 } from 'node:buffer';
import type { ByteString } from '../../bytes.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { TAR_DIFF_NAME_MAX, TAR_DIFF_WINDOW_LOG } from '../../layer/tar-diff-format.js';
import type { Directory } from '../../tree/tree.js';
import type { SizedObject } from './patch-batch.js';

/** A file that patches can read. */
export interface SourceFile extends SizedObject {
  readonly path: ByteString;
}

/** Programs that apply deltas to a deployment of ostree do not find these files there. */
const NOT_THERE = 'sysroot/ostree';
/** The largest dictionary that a frame may have. */
const DICTIONARY_BYTES = 2 ** TAR_DIFF_WINDOW_LOG;

/** The files of an image that are objects, for finding what a new file was made of. */
export class SourceFiles {
  readonly #byId = new Map<ObjectId, SourceFile>();
  readonly #byPath = new Map<ByteString, SourceFile>();
  readonly #byName = new Map<ByteString, SourceFile[]>();

  constructor(root: Directory) {
    this.#add(root, '');
  }

  /** The file that has this content. */
  same(id: ObjectId): SourceFile | undefined {
    return this.#byId.get(id);
  }

  /**
   * The file that is likely to be most like a new one: that of the same path, else of the same name the one whose size
   * is nearest.
   */
  related(path: ByteString, size: number): SourceFile | undefined {
    const here = this.#byPath.get(path);
    if (here !== undefined) return here;
    let nearest: SourceFile | undefined;
    for (const file of this.#byName.get(nameOf(path)) ?? []) {
      if (nearest === undefined || Math.abs(file.size - size) < Math.abs(nearest.size - size)) nearest = file;
    }
    return nearest;
  }

  #add(directory: Directory, above: ByteString): void {
    // Of equal candidates the first counts, whatever order the image has them in.
    const names = [...directory.entries.keys()].sort();
    for (const name of names) {
      const path = `${above}${name}`;
      const node = directory.entries.get(name);
      if (node?.kind === 'directory' && path !== NOT_THERE) this.#add(node, `${path}/`);
      if (node?.kind === 'regular' && node.content.kind === 'object' && canBeOpened(path))
        this.#addFile({ path, id: node.content.id, size: Number(node.content.size) });
    }
  }

  #addFile(file: SourceFile): void {
    if (!this.#byId.has(file.id)) this.#byId.set(file.id, file);
    if (file.size > DICTIONARY_BYTES) return;
    this.#byPath.set(file.path, file);
    const name = nameOf(file.path);
    const namesakes = this.#byName.get(name);
    if (namesakes === undefined) this.#byName.set(name, [file]);
    else namesakes.push(file);
  }
}

/** cfsctl 0.9.4 refuses names that are not UTF-8. */
function canBeOpened(path: ByteString): boolean {
  return path.length <= TAR_DIFF_NAME_MAX && isUtf8(Buffer.from(path, 'latin1'));
}

function nameOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1);
}
