import type { ObjectId } from '../../fsverity/object-id.js';
import { imageFsckJson } from '../../oci/repair/fsck.js';
import type { RepairReport } from '../../oci/repair/report.js';
import { pathOfObject } from '../../repository/names.js';
import { imageFsckText } from './fsck.js';

/** What `fsck --repair` prints, with a final newline. */
export function repairText(report: RepairReport): string {
  const { repaired, quarantined, removed, affected, sources, check } = report;
  return [
    ...section(
      'repaired',
      repaired.map(({ id, from }) => `${pathOfObject(id)}: from ${from}`),
    ),
    ...section(
      'quarantined',
      quarantined.map(({ path, to, reason }) => `${path}: ${reason}; now ${to}`),
    ),
    ...section('names removed', removed),
    ...section(
      'problems of sources',
      sources.map(({ source, message }) => `${source}: ${message}`),
    ),
    ...section(
      'incomplete images',
      affected.flatMap(({ image, problems }) => problems.map((problem) => `${image}: ${problem}`)),
    ),
    ...(affected.length > 0
      ? [
          'to complete them: cfsbridge fsck --repair --from SOURCE, with a source that has them, or pull them ' +
            'again; to give one up: cfsbridge oci untag NAME, for an ostree commit cfsbridge ostree untag NAME',
        ]
      : []),
    imageFsckText(check),
  ].join('\n');
}

/** What `fsck --repair --json` prints, as a value. */
export function repairJson(report: RepairReport): Record<string, unknown> {
  return {
    ok: report.ok,
    repaired: report.repaired.map(({ id, from }: { id: ObjectId; from: string }) => ({ object: id, from })),
    quarantined: report.quarantined,
    removed_names: report.removed,
    incomplete_images: report.affected,
    source_problems: report.sources,
    check: imageFsckJson(report.check),
  };
}

function section(title: string, lines: readonly string[]): string[] {
  return [`${title}: ${lines.length}`, ...lines.map((line) => `  - ${line}`)];
}
