import { Option, type Command } from 'commander';
import { UsageError } from './errors.js';

/** The options of what writes into a containers-storage. */
export interface StoreCommandOptions {
  zeroCopy?: true;
  dryRun?: true;
}

/** Adds them. @param which begins their descriptions where they are not always allowed */
export function storeOptions(command: Command, which = ''): Command {
  return command
    .option('--zero-copy', described(which, 'Fail rather than copy file content that cannot be shared'))
    .option('--dry-run', described(which, 'Change nothing, and say what would be shared, copied and reused'));
}

function described(which: string, what: string): string {
  return which === '' ? what : `${which}: ${what.charAt(0).toLowerCase()}${what.slice(1)}`;
}

/** The options of what keeps a repository and a store in step. */
export interface AllCommandOptions {
  all?: true;
  filter: readonly string[];
  prune?: true;
}

/**
 * Adds them.
 * @param all describes `--all`
 * @param prune describes `--prune`
 */
export function allOptions(command: Command, all: string, prune: string): Command {
  return command
    .option('--all', all)
    .addOption(
      new Option(
        '--filter <pattern>',
        'With --all: only names that fit, written in full; * stands for any characters; may be repeated',
      )
        .argParser((pattern: string, others: string[]) => [...others, pattern])
        .default([], 'all names'),
    )
    .option('--prune', `With --all: ${prune}`);
}

/** @throws UsageError for options that have a meaning with `--all` alone */
export function checkNoAllOptions({ filter, prune }: AllCommandOptions): void {
  refuseOptions({ '--filter': filter.length > 0, '--prune': prune }, "it needs '--all'");
}

/** @param given values by their flags @throws UsageError when one is given, which has no meaning here; `why` not */
export function refuseOptions(given: Readonly<Record<string, unknown>>, why: string): void {
  const flag = Object.keys(given).find((name) => given[name] !== undefined && given[name] !== false);
  if (flag !== undefined) throw new UsageError(`option '${flag}' has no meaning here: ${why}`);
}
