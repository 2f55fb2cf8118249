// What `fsck` and `oci fsck` print, in the words and the order of cfsctl.
import type { ImageFsckReport } from '../../oci/repair/fsck.js';
import { describeFsckError, type FsckError } from '../../repository/fsck/findings.js';
import type { FsckCount, FsckReport } from '../../repository/fsck/report.js';
import { IMAGES, META, OBJECTS, STREAMS } from '../../repository/names.js';

/** What `fsck` prints, with a final newline. */
export function fsckText(report: FsckReport): string {
  return [
    `${META}: ok`,
    countLine(OBJECTS, report.objects),
    countLine(STREAMS, report.streams),
    countLine(IMAGES, report.images),
    ...(report.brokenLinks > 0 ? [`broken symlinks: ${report.brokenLinks}`] : []),
    ...(report.missingObjects > 0 ? [`missing objects: ${report.missingObjects}`] : []),
    report.ok ? 'status: ok' : `status: ${report.errors.length} error(s)`,
    ...errorLines(report.errors),
    '',
  ].join('\n');
}

/** What `oci fsck` prints, with a final newline. */
export function imageFsckText({ repository, images, errors }: ImageFsckReport): string {
  const lines = [
    countLine('oci images', images),
    ...(errors.length > 0 ? [`oci errors: ${errors.length}`] : []),
    ...errorLines(errors),
  ];
  return `${fsckText(repository)}${lines.join('\n')}\n`;
}

function countLine(what: string, { checked, corrupted }: FsckCount): string {
  return `${what}: ${checked - corrupted}/${checked} ok`;
}

function errorLines(errors: readonly FsckError<string>[]): string[] {
  return errors.map((error) => `  - ${describeFsckError(error)}`);
}
