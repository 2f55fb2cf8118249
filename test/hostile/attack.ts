// Attacks as tests. `make test-hostile` prints a table of what they came to.
import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The user who attacks root: without a name, groups or rights. */
export const ATTACKER = 12345;

/** Starts a command as the attacker. */
export const asAttacker = [
  'setpriv',
  `--reuid=${ATTACKER}`,
  `--regid=${ATTACKER}`,
  '--clear-groups',
  '--inh-caps=-all',
  '--bounding-set=-all',
  '--',
];

/** Why there can be no second user here, or false. */
export function whyNoAttacker(): string | false {
  if (process.geteuid?.() !== 0) return 'needs root: files and processes of a second user are part of the attack';
  const [program = '', ...options] = asAttacker;
  const checkout = fileURLToPath(new URL('../../../bin/cfsbridge', import.meta.url));
  return spawnSync(program, [...options, 'test', '-r', checkout]).status === 0
    ? false
    : 'this checkout is in a folder that other users cannot enter';
}

/**
 * One attack.
 * @param what the attacker does, as a row of the table
 * @param run tries it, asserts that it fails, and returns what came of it in a few words
 */
export function attack(
  what: string,
  options: { skip?: string | false },
  run: (t: TestContext) => string | Promise<string>,
): void {
  test(what, options, async (t) => {
    const outcome = await run(t);
    const table = process.env['CFSBRIDGE_ATTACKS'];
    if (table !== undefined) appendFileSync(table, `| ${cell(what)} | ${cell(outcome)} |\n`);
  });
}

function cell(text: string): string {
  return text.replace(/\|/g, '\\|').replace(/\s+/g, ' ').trim();
}
