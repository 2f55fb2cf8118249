// What a check of a repository found, in the words and the order of cfsctl.
import { describeFsckError, errorOf, isMissingObject, type Finding, type FsckError } from './findings.js';

/** How many were looked at, and how many of those are damaged. */
export interface FsckCount {
  readonly checked: number;
  readonly corrupted: number;
}

export class FsckReport {
  constructor(
    readonly objects: FsckCount,
    readonly streams: FsckCount,
    readonly images: FsckCount,
    readonly findings: readonly Finding[],
  ) {}

  get brokenLinks(): number {
    return this.findings.filter(({ kind }) => kind === 'broken-symlink').length;
  }

  get missingObjects(): number {
    return this.findings.filter(isMissingObject).length;
  }

  /** The findings in words. */
  get errors(): FsckError[] {
    return this.findings.map(errorOf);
  }

  get ok(): boolean {
    return this.findings.length === 0;
  }
}

/** The members of cfsctl's JSON, which are those of its varlink reply, too. */
export interface FsckJson {
  ok: boolean;
  has_metadata: boolean;
  objects_checked: number;
  objects_corrupted: number;
  streams_checked: number;
  streams_corrupted: number;
  images_checked: number;
  images_corrupted: number;
  broken_links: number;
  missing_objects: number;
  errors: string[];
}

/** A report in these words. */
export function fsckJson(report: FsckReport): FsckJson {
  return {
    ok: report.ok,
    has_metadata: true,
    objects_checked: report.objects.checked,
    objects_corrupted: report.objects.corrupted,
    streams_checked: report.streams.checked,
    streams_corrupted: report.streams.corrupted,
    images_checked: report.images.checked,
    images_corrupted: report.images.corrupted,
    broken_links: report.brokenLinks,
    missing_objects: report.missingObjects,
    errors: report.errors.map(describeFsckError),
  };
}
