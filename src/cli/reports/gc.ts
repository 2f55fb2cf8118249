import { showBytes } from '../../bytes.js';
import type { GcReport } from '../../repository/gc/report.js';

/** What `gc` prints, with a final newline. */
export function gcText(report: GcReport): string {
  const links = report.prunedImages.length + report.prunedStreams.length;
  return [
    ...(report.dryRun ? ['Dry run (no files deleted):'] : []),
    `Objects: ${report.objects} removed (${report.bytes} bytes)`,
    ...(links > 0
      ? [`Pruned symlinks: ${report.prunedImages.length} images, ${report.prunedStreams.length} streams`]
      : []),
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
