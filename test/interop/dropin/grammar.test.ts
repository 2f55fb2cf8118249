// Whether there is anything in cfsctl that we lack, and anything that no test asks both programs about.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whyNoPeers } from '../peers.js';
import { imageCases } from './cases-image.js';
import { ociReadCases, ociWriteCases } from './cases-oci.js';
import { initCases, repositoryCases } from './cases-repository.js';
import { asCase } from './cases.js';
import { ourGrammar, theirGrammar, type Grammar } from './grammar.js';

const skip = whyNoPeers();

/** What is not here; docs/cfsctl.md says so. */
const lacking = ['ostree', 'oci prepare-boot'];

/** Every case has `--repo`; versions differ. */
const elsewhere = ['--repo', '--version'];

function missingFrom(ours: Grammar, theirs: Grammar): string[] {
  return [...theirs].flatMap(([command, options]) => {
    const own = ours.get(command);
    if (own === undefined) return [command];
    return [...options].filter((name) => !own.has(name)).map((name) => `${command} --${name}`);
  });
}

test('every command and long option of cfsctl is here, but for those that docs/cfsctl.md names', { skip }, () => {
  const theirs = theirGrammar();
  assert.ok(theirs.size > 40, `${theirs.size} commands found in the help`);
  const missing = missingFrom(ourGrammar(), theirs).filter((name) => !name.startsWith('ostree '));
  assert.deepEqual(
    missing.filter((name) => !lacking.includes(name)),
    [],
  );
});

test('both programs are asked about every command and long option of cfsctl', { skip }, () => {
  const lines = [...initCases, ...repositoryCases, ...imageCases, ...ociReadCases, ...ociWriteCases].map(
    (one) => asCase(one).line,
  );
  const unasked = [...theirGrammar()].flatMap(([command, options]) => {
    if (command.startsWith('ostree') || lacking.includes(command)) return [];
    const asked = lines.filter((line) => isAbout(line, command));
    if (asked.length === 0) return [command];
    const isAsked = (name: string): boolean =>
      asked.some((line) => new RegExp(` --${name}(?:[ =]|$)`).test(` ${line}`));
    return [...options]
      .filter((name) => name !== 'help' && !isAsked(name))
      .map((name) => `${command} --${name}`.trim());
  });
  assert.deepEqual(
    unasked.filter((name) => !lacking.includes(name) && !elsewhere.includes(name)),
    [],
  );
});

/** Whether a line calls a command, after options of the program and their values. */
function isAbout(line: string, command: string): boolean {
  return command === ''
    ? line.startsWith('--')
    : new RegExp(`^(?:--\\S+ (?:sha\\d+ |\\d )?)*${command}(?: |$)`).test(line);
}
