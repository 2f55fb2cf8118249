import { showBytes, type ByteString } from '../../bytes.js';

export type GcProblemKind =
  /** a tag or ref that leads to nothing; it stays */
  | 'dangling-ref'
  /** something reached refers to objects that are not there */
  | 'missing-object'
  /** a file that is not part of a repository; it stays */
  | 'foreign-file'
  /** a root that was asked for and does not exist */
  | 'unknown-root'
  /** what a ref leads to is neither a splitstream nor an image; it stays, and nothing is known to belong to it */
  | 'unknown-content'
  /** the system did not let an object be removed */
  | 'not-removed';

/** Something that garbage collection noticed and went on. `kind` is stable. */
export interface GcProblem {
  kind: GcProblemKind;
  /** below the repository */
  path: string;
  detail?: string;
}

/** Takes down a problem that was met with. */
export type Note = (kind: GcProblemKind, path: ByteString, detail?: string) => void;

export function describedProblem(kind: GcProblemKind, path: ByteString, detail?: string): GcProblem {
  return { kind, path: showBytes(path), ...(detail !== undefined && { detail }) };
}

/** One line about a problem. */
export function describeGcProblem({ kind, path, detail }: GcProblem): string {
  return `gc: ${kind}: ${path}${detail === undefined ? '' : `: ${detail}`}`;
}
