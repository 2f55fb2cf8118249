// What a check of a repository found, in the words and the order of cfsctl.
import { showBytes, type ByteString } from '../bytes.js';

export type FsckKind =
  | 'object-invalid-name' | 'object-open-failed' | 'object-digest-mismatch' | 'object-verity-failed' | 'object-verity-missing'
  | 'entry-not-symlink' | 'broken-symlink' | 'stat-failed' | 'unexpected-file-type'
  | 'stream-open-failed' | 'missing-object-ref' | 'missing-named-ref'
  | 'image-read-failed' | 'image-invalid' | 'image-missing-object';

/** One thing that is wrong. `kind` is stable. */
export interface FsckError<Kind extends string = FsckKind> {
  kind: Kind;
  /** below the repository, or the tag of an image */
  path: string;
  detail?: string;
}

/** How many were looked at, and how many of those are damaged. */
export interface FsckCount {
  checked: number;
  corrupted: number;
}

export class FsckReport {
  readonly objects: FsckCount = { checked: 0, corrupted: 0 };
  readonly streams: FsckCount = { checked: 0, corrupted: 0 };
  readonly images: FsckCount = { checked: 0, corrupted: 0 };
  brokenLinks = 0;
  missingObjects = 0;
  readonly errors: FsckError[] = [];

  /** Both reports as one, this one's errors first. */
  followedBy(next: FsckReport): FsckReport {
    const both = new FsckReport();
    for (const part of [this, next]) {
      for (const area of ['objects', 'streams', 'images'] as const) {
        both[area].checked += part[area].checked;
        both[area].corrupted += part[area].corrupted;
      }
      both.brokenLinks += part.brokenLinks;
      both.missingObjects += part.missingObjects;
      both.errors.push(...part.errors);
    }
    return both;
  }

  get ok(): boolean {
    return this.errors.length === 0;
  }

  add(kind: FsckKind, path: ByteString, detail?: string): void {
    this.errors.push({ kind, path: showBytes(path), ...(detail !== undefined && { detail }) });
  }
}

/** One line about an error: `fsck: <kind>: <path>: <detail>`. */
export function describeFsckError({ kind, path, detail }: FsckError<string>): string {
  return `fsck: ${kind}: ${path}${detail === undefined ? '' : `: ${detail}`}`;
}

/** What `fsck` prints, with a final newline. */
export function fsckText(report: FsckReport): string {
  return [
    'meta.json: ok',
    countLine('objects', report.objects),
    countLine('streams', report.streams),
    countLine('images', report.images),
    ...(report.brokenLinks > 0 ? [`broken symlinks: ${report.brokenLinks}`] : []),
    ...(report.missingObjects > 0 ? [`missing objects: ${report.missingObjects}`] : []),
    report.ok ? 'status: ok' : `status: ${report.errors.length} error(s)`,
    ...errorLines(report.errors),
    '',
  ].join('\n');
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

/** What `fsck --json` prints, as a value. */
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

export function countLine(what: string, { checked, corrupted }: FsckCount): string {
  return `${what}: ${checked - corrupted}/${checked} ok`;
}

export function errorLines(errors: readonly FsckError<string>[]): string[] {
  return errors.map((error) => `  - ${describeFsckError(error)}`);
}
