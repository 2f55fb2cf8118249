import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const isRoot =
  process.getuid?.() === 0 && /^\s*0\s+0\s+4294967295$/m.test(readFileSync('/proc/self/uid_map', 'latin1'));
const code =
  'import { hasCapDacOverride } from ' +
  `${JSON.stringify(new URL('../../src/fd/cap-dac-override.js', import.meta.url).href)}; ` +
  'process.stdout.write(String(hasCapDacOverride()));';

/** What a process says that is started by this command. */
const cases: [who: string, command: string[], expected: string][] = [
  ['root', ['env'], 'true'],
  ['root without the capability', ['setpriv', '--inh-caps=-all', '--bounding-set=-dac_override'], 'false'],
  ['an ordinary user', ['setpriv', '--reuid=65534', '--clear-groups'], 'false'],
  ['root of a user namespace', ['unshare', '--user', '--map-root-user'], 'false'],
];

function whyNot([command = '', ...options]: string[]): string | false {
  if (!isRoot) return 'only root of the machine can become all of them';
  return spawnSync(command, [...options, 'true']).status === 0 ? false : `${command} is not allowed here`;
}

for (const [who, command, expected] of cases)
  test(`${who}: ${expected}`, { skip: whyNot(command) }, () => {
    const [program = '', ...options] = command;
    const { status, stdout, stderr } = spawnSync(
      program,
      [...options, process.execPath, '--input-type=module', '-e', code],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.equal(stdout, expected);
  });
