// What pushes note for the next one: where an upload was going to that was cut off, which blob a layer becomes when it
// is compressed, and where a registry has a blob.
import { createHash } from 'node:crypto';
import { constants, writeSync } from 'node:fs';
import * as z from 'zod';
import { bytesOf, type ByteString } from '../bytes.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { readSmallFile } from '../fd/read-file.js';
import { PUSH_NOTE_LIMIT } from '../limits.js';
import { files } from '../native.js';
import { PUSH_NOTES } from './names.js';
import { openPrivateFolder } from './private-folder.js';

const FLAGS = constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Of the repositories of one registry that have a blob, so many are remembered. */
const PLACES = 4;

const upload = z.object({ location: z.url() });
const layer = z.object({ digest: z.string().regex(/^sha256:[0-9a-f]{64}$/), size: z.number().int().nonnegative() });
const places = z.object({ paths: z.array(z.string()) });

/** The folder of a repository with such notes. A garbage collection removes it; then things are found out again. */
export class PushNotes implements Disposable {
  readonly #folder: Fd;

  /** @param root the repository's folder @returns undefined where nothing can be noted */
  static open(root: Fd): PushNotes | undefined {
    const folder = openPrivateFolder(root, PUSH_NOTES);
    return folder === undefined ? undefined : new PushNotes(folder);
  }

  private constructor(folder: Fd) {
    this.#folder = folder;
  }

  /** Where an upload was going to. @param to the repository in the registry @param key of the blob */
  uploadOf(to: string, key: string): URL | undefined {
    const note = this.#read('upload', [to, key], upload);
    return note === undefined ? undefined : new URL(note.location);
  }

  noteUpload(to: string, key: string, location: URL): void {
    this.#write('upload', [to, key], { location: location.href });
  }

  forgetUpload(to: string, key: string): void {
    this.#remove(nameOf('upload', [to, key]));
  }

  /** The blob that a layer becomes. @param key names the layer and all that its bytes depend on */
  layerOf(key: string): { digest: string; size: number } | undefined {
    return this.#read('layer', [key], layer);
  }

  noteLayer(key: string, facts: { digest: string; size: number }): void {
    this.#write('layer', [key], facts);
  }

  /** Paths of the repositories at a host that had a blob, the last one first. */
  placesOf(host: string, digest: string): readonly string[] {
    return this.#read('places', [host, digest], places)?.paths ?? [];
  }

  notePlace(host: string, digest: string, path: string): void {
    const known = this.placesOf(host, digest);
    if (known[0] === path) return;
    const paths = [path, ...known.filter((other) => other !== path)].slice(0, PLACES);
    this.#write('places', [host, digest], { paths });
  }

  [Symbol.dispose](): void {
    this.#folder.close();
  }

  #read<T extends z.ZodType>(kind: string, key: readonly string[], schema: T): z.output<T> | undefined {
    try {
      using file = openBeneath(this.#folder, nameOf(kind, key), constants.O_RDONLY | FLAGS);
      return schema.parse(JSON.parse(readSmallFile(file, PUSH_NOTE_LIMIT).toString('utf8')));
    } catch {
      // None, or one that was cut off: as good as none.
      return undefined;
    }
  }

  #write(kind: string, key: readonly string[], value: object): void {
    const name = nameOf(kind, key);
    const temporary = bytesOf(`${name}.${process.pid}`);
    try {
      using file = openBeneath(
        this.#folder,
        temporary,
        constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | FLAGS,
        0o600,
      );
      writeSync(file.number, JSON.stringify(value));
      files.renameat2(this.#folder.number, temporary, this.#folder.number, name, 0);
    } catch (error) {
      // Without the note the next push has more to do, and this one nothing to lose.
      if (!isErrno(error, 'ENOSPC', 'EDQUOT', 'EIO', 'EROFS')) throw error;
      this.#remove(temporary);
    }
  }

  #remove(name: ByteString): void {
    try {
      files.unlinkat(this.#folder.number, name, 0);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'EROFS')) throw error;
    }
  }
}

function nameOf(kind: string, key: readonly string[]): ByteString {
  return bytesOf(`${kind}-${createHash('sha256').update(key.join('\0')).digest('hex')}`);
}
