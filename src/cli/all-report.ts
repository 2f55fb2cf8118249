import type { AllOptions, AllResult } from '../oci/store/all.js';
import { describeError } from './errors.js';
import { allJson, outcomeLine } from './reports/store-copy.js';
import type { Session } from './session.js';
import type { AllCommandOptions } from './store-options.js';

interface AllReportOptions extends AllCommandOptions {
  dryRun?: true;
  json?: true;
}

/** Tells of all images of a repository or a store, each when it is done, and what became of them at the end. */
export class AllReport {
  /** for those that do it */
  readonly options: AllOptions;
  readonly #session: Session;
  readonly #json: boolean;
  readonly #dryRun: boolean;

  /** @param say writes a line to standard error */
  constructor(session: Session, { filter, prune, dryRun, json }: AllReportOptions, say: (line: string) => void) {
    this.#session = session;
    this.#json = json === true;
    this.#dryRun = dryRun === true;
    this.options = {
      filter,
      prune: prune === true,
      dryRun: this.#dryRun,
      signal: session.signal,
      onOutcome: (outcome) => {
        if (outcome.outcome === 'failed') say(`${outcome.name}: ${describeError(outcome.error)}`);
      },
    };
  }

  /** @throws Error when an image failed, after all was printed */
  async print(result: AllResult): Promise<void> {
    const { out } = this.#session;
    if (this.#json) {
      await out.json(allJson(result, this.#dryRun));
    } else {
      for (const outcome of result.images) await out.line(outcomeLine(outcome, this.#dryRun));
      for (const { name, reason } of result.skipped) await out.line(`skipped ${name}: ${reason}`);
    }
    const failed = result.images.filter(({ outcome }) => outcome === 'failed').length;
    if (failed > 0) throw new Error(`${failed} of ${result.images.length} images failed; what is said above of each`);
  }
}
