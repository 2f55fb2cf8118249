import type { Fd } from '../../fd/fd.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import type { Checksum } from '../object/checksum.js';
import type { FileHeader } from '../object/file-header.js';
import type { ObjectKind } from '../object/kind.js';

export type MetadataKind = Exclude<ObjectKind, 'file'>;

/** The content of a file object, in the form in which it is at hand. */
export type SourceContent =
  /** of a symlink, or an empty file */
  | { readonly kind: 'none' }
  /** all of it */
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** all of it, as deflate data without a header */
  | { readonly kind: 'deflated'; readonly data: Buffer }
  /** the same, in an open file from `start` on, `length` bytes; whoever gets it owns it */
  | { readonly kind: 'deflated-file'; readonly fd: Fd; readonly start: number; readonly length: number }
  /** an open file, which may be shared; whoever gets it owns it */
  | { readonly kind: 'file'; readonly fd: Fd }
  /** each piece is used before the next one is asked for */
  | { readonly kind: 'pieces'; readonly pieces: AsyncIterable<Buffer> };

/** A file object as a source gives it. Nothing of it is verified. */
export interface SourceFile {
  readonly header: FileHeader;
  /** bytes of the content, going by the source */
  readonly size: number;
  readonly content: SourceContent;
}

/** Where the objects of commits come from: a repository on this machine, a server, a delta. */
export interface ObjectSource {
  /** how many objects may be asked for at the same time */
  readonly parallel: number;
  /** how open files are taken, and whether whoever may write to them is believed */
  readonly policy: LayerPolicy;
  /**
   * The bytes of a commit, dirtree or dirmeta; not verified.
   * @throws NotFoundError when the source does not have it
   */
  metadata(kind: MetadataKind, id: Checksum, signal: AbortSignal): Promise<Buffer>;
  /** A file; not verified. @throws NotFoundError when the source does not have it, FormatError for a damaged one */
  file(id: Checksum, signal: AbortSignal): Promise<SourceFile>;
}
