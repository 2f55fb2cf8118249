// What a garbage collection found and did, in the words of cfsctl and as a value for programs.
import { showBytes, type ByteString } from '../bytes.js';
import type { ObjectId } from './object-id.js';

export type GcProblemKind =
  /** a tag or ref that leads to nothing; it stays */
  | 'dangling-ref'
  /** something reached refers to objects that are not there */
  | 'missing-object'
  /** a file that is no part of a repository; it stays */
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

/** Why an image stays that nothing names. `open` are mounted images, too; `mounted` is a guess by the digest, where nothing better can be had. */
export type ImageUse = 'deployed' | 'mounted' | 'open';

export class GcReport {
  /** Objects removed, or that would be. */
  objects = 0;
  /** Their lengths, in bytes. */
  bytes = 0;
  /** Objects that stay. */
  kept = 0;
  /** Names removed, as paths below the repository. */
  readonly prunedImages: ByteString[] = [];
  readonly prunedStreams: ByteString[] = [];
  readonly prunedVerified: ByteString[] = [];
  /** Half-made files of programs that were killed. */
  readonly leftovers: ByteString[] = [];
  /** Images that no name keeps, and that stay because they are mounted, deployed or open. */
  readonly inUse: { image: ObjectId; by: ImageUse }[] = [];
  readonly problems: GcProblem[] = [];

  constructor(readonly dryRun: boolean) {}

  add(kind: GcProblemKind, path: ByteString, detail?: string): void {
    this.problems.push({ kind, path: showBytes(path), ...(detail !== undefined && { detail }) });
  }
}

/** What `gc` prints, with a final newline. */
export function gcText(report: GcReport): string {
  const links = report.prunedImages.length + report.prunedStreams.length;
  return [
    ...(report.dryRun ? ['Dry run (no files deleted):'] : []),
    `Objects: ${report.objects} removed (${report.bytes} bytes)`,
    ...(links > 0 ? [`Pruned symlinks: ${report.prunedImages.length} images, ${report.prunedStreams.length} streams`] : []),
    '',
  ].join('\n');
}

/** What `gc --json` prints, as a value. */
export function gcJson(report: GcReport): Record<string, unknown> {
  return {
    dry_run: report.dryRun,
    objects_removed: report.objects,
    objects_bytes: report.bytes,
    objects_kept: report.kept,
    images_pruned: report.prunedImages.map(showBytes),
    streams_pruned: report.prunedStreams.map(showBytes),
    verified_pruned: report.prunedVerified.map(showBytes),
    leftovers_removed: report.leftovers.map(showBytes),
    images_in_use: report.inUse,
    problems: report.problems,
  };
}

/** One line about a problem. */
export function describeGcProblem({ kind, path, detail }: GcProblem): string {
  return `gc: ${kind}: ${path}${detail === undefined ? '' : `: ${detail}`}`;
}
