import type { ImageFsckReport } from './fsck.js';
import type { Repaired } from './health.js';
import type { SourceProblem } from './layers.js';

export interface Quarantined {
  readonly path: string;
  readonly to: string;
  readonly reason: string;
}

export interface AffectedImage {
  /** its tag, or `@` and the digest of its manifest; of an ostree commit a name, or its id */
  readonly image: string;
  readonly problems: readonly string[];
}

/** What a repair did, and what it left. */
export interface RepairReport {
  /** nothing is missing or damaged any more */
  readonly ok: boolean;
  readonly repaired: readonly Repaired[];
  readonly quarantined: readonly Quarantined[];
  /** names that led nowhere and that nothing referred to, as paths */
  readonly removed: readonly string[];
  readonly affected: readonly AffectedImage[];
  /** what went wrong with the sources */
  readonly sources: readonly SourceProblem[];
  /** the repository as it is now */
  readonly check: ImageFsckReport;
}
