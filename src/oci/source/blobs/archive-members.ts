import { showBytes, type ByteString } from '../../../bytes.js';
import { FormatError } from '../../../errors.js';
import type { Fd } from '../../../fd/fd.js';
import type { TarEntry } from '../../../layer/entry.js';
import { TarScanner, type TarVisitor } from '../../../layer/tar-scanner.js';
import { ARCHIVE_ENTRIES_LIMIT } from '../../../limits.js';
import { readAt } from '../../../fd/read-file.js';

/** The event loop gets its turn after so many headers. */
const HEADERS_AT_ONCE = 500;

/** A file in a tar: where its bytes are, or which other member it stands for. */
export type Member = { kind: 'file'; start: number; size: number } | { kind: 'link'; to: ByteString };

/**
 * Reads the headers of a tar and skips its content.
 * @param fd of the tar, not compressed; stays the caller's
 * @returns its files and links by normalized name
 * @throws FormatError for what is not a tar, or one in which a name occurs twice
 */
export async function readMembers(fd: Fd, signal?: AbortSignal): Promise<Map<ByteString, Member>> {
  const { size } = fd.stat();
  const index = new MemberIndex();
  const scanner = new TarScanner(index);
  for (let steps = 1; scanner.offset < size && scanner.stage !== 'trailing'; steps++) {
    const { due, offset } = scanner;
    if (scanner.stage === 'content' || scanner.stage === 'small') {
      if (due > size - offset)
        throw new FormatError('TAR_TRUNCATED', 'the archive ends in the middle of a file', { place: { offset } });
      index.start = offset;
      scanner.reference({ kind: 'named', dir: fd, name: '', size: due });
    } else {
      scanner.bytes(readAt(fd, offset, Math.min(due, size - offset)));
    }
    if (steps % HEADERS_AT_ONCE === 0) {
      signal?.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  scanner.end();
  return index.members;
}

/** A name without `./` and doubled slashes, `..` resolved; undefined when it leads out of the archive. */
export function normalize(path: ByteString): ByteString | undefined {
  const parts: ByteString[] = [];
  for (const part of path.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== '' && part !== '.') {
      parts.push(part);
    }
  }
  return parts.join('/');
}

class MemberIndex implements TarVisitor {
  readonly members = new Map<ByteString, Member>();
  /** Where the content begins that comes next. */
  start = 0;
  #entries = 0;

  entry(entry: TarEntry): void {
    if (++this.#entries > ARCHIVE_ENTRIES_LIMIT)
      throw new FormatError('ARCHIVE_ENTRIES', `an archive of more than ${ARCHIVE_ENTRIES_LIMIT} entries`);
    if (entry.type === 'file' && entry.size === 0) this.#add(entry, { kind: 'file', start: 0, size: 0 });
    if (entry.type !== 'hardlink' && entry.type !== 'symlink') return;
    const base = entry.type === 'hardlink' || entry.linkPath.startsWith('/') ? '' : `${entry.path}/../`;
    const to = normalize(base + entry.linkPath);
    if (to !== undefined) this.#add(entry, { kind: 'link', to });
  }

  reference(_: unknown, entry: TarEntry): void {
    this.#add(entry, { kind: 'file', start: this.start, size: entry.size });
  }

  inline(): void {
    // Headers and padding mean nothing here.
  }

  smallContent(): void {
    throw new Error('content was skipped');
  }

  content(): void {
    throw new Error('content was skipped');
  }

  #add({ path, offset }: TarEntry, member: Member): void {
    const name = normalize(path);
    if (name === undefined)
      throw new FormatError('ARCHIVE_NAME', 'a name leads out of the archive', {
        place: { entry: showBytes(path), offset },
      });
    // Some programs take the first of two, others the last: such an archive would be two images.
    if (this.members.has(name))
      throw new FormatError('ARCHIVE_NAME', 'a name occurs twice in the archive', {
        place: { entry: showBytes(path), offset },
      });
    this.members.set(name, member);
  }
}
