// Artifacts that refer to another manifest, their subject: signatures, say. They stay as long as that does, or a tag keeps them.
import type { ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { files } from '../native.js';
import type { ObjectTable } from './gc-objects.js';
import type { GcReport } from './gc-report.js';
import { addRef, REFERRERS, type Root, type Roots } from './gc-roots.js';
import type { Walk } from './gc-walk.js';
import { openDirectory, readLink, removeLink } from './links.js';
import type { Repository } from './repository.js';

const MANIFEST = 'oci-manifest-';
const AT_REMOVEDIR = 0x200;

export class Referrers {
  /** Refs that keep nothing so far, by the name of their subject. */
  readonly #waiting = new Map<ByteString, ByteString[]>();

  /** @param found what refs lead to; becomes more */
  constructor(
    private readonly repository: Repository,
    private readonly table: ObjectTable,
    private readonly found: Roots,
  ) {
    for (const path of found.referrers) {
      const subject = MANIFEST + subjectOf(path);
      const others = this.#waiting.get(subject);
      if (others === undefined) this.#waiting.set(subject, [path]);
      else others.push(path);
    }
  }

  /** Keeps those whose subject stays; a referrer may be the subject of another. */
  async keep(walk: Walk, report: GcReport): Promise<void> {
    const staying = [...this.#waiting.keys()].filter((subject) => this.#stays(subject));
    for (const subject of staying) {
      const paths = this.#waiting.get(subject) ?? [];
      this.#waiting.delete(subject);
      for (const path of paths) {
        const roots: Root[] = [];
        addRef(this.repository, 'streams', path, { ...this.found, roots }, report);
        for (const root of roots) await walk.from(root);
        staying.push(nameBehind(this.repository, path));
      }
    }
  }

  /** Removes, or with a dry run only counts, the refs of those that go. */
  sweep(report: GcReport): void {
    for (const path of [...this.#waiting.values()].flat()) {
      if (this.#stays(nameBehind(this.repository, path))) continue;
      if (!report.dryRun && !removeLink(this.repository.root, path)) continue;
      report.prunedStreams.push(path);
      if (!report.dryRun) this.#removeEmpty(subjectOf(path));
    }
  }

  #stays(name: ByteString): boolean {
    if (this.found.names.has(`streams/${name}`) || this.found.missing.has(`streams/${name}`)) return true;
    try {
      const id = this.repository.lookup('streams', name);
      return id !== undefined && this.table.isKept(this.table.find(id));
    } catch (error) {
      // It leads to no object: the sweep reports it as foreign.
      if (error instanceof BridgeError) return false;
      throw error;
    }
  }

  #removeEmpty(subject: ByteString): void {
    using folder = openDirectory(this.repository.root, REFERRERS);
    try {
      files.unlinkat(folder.number, subject, AT_REMOVEDIR);
    } catch (error) {
      if (!isErrno(error, 'ENOTEMPTY', 'ENOENT', 'ENOTDIR')) throw error;
    }
  }
}

/** The digest in the path of a ref. */
function subjectOf(path: ByteString): ByteString {
  return path.split('/')[3] ?? '';
}

/** The name of the stream that a ref leads to. */
function nameBehind(repository: Repository, path: ByteString): ByteString {
  return readLink(repository.root, path)?.split('/').at(-1) ?? '';
}
