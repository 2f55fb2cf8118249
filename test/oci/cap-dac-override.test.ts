import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const isRoot = process.getuid?.() === 0;
const code = `import { hasCapDacOverride } from ${JSON.stringify(new URL('../../src/oci/remote/cap-dac-override.js', import.meta.url).href)}; process.stdout.write(String(hasCapDacOverride()));`;

/** What a process says that is started by this command. */
const cases: [who: string, command: string[], expected: string][] = [
  ['root', ['env'], 'true'],
  ['root without the capability', ['setpriv', '--inh-caps=-all', '--bounding-set=-dac_override'], 'false'],
  ['an ordinary user', ['setpriv', '--reuid=65534', '--clear-groups'], 'false'],
  ['root of a user namespace', ['unshare', '--user', '--map-root-user'], 'false'],
];

for (const [who, [command = '', ...options], expected] of cases)
  test(`${who}: ${expected}`, { skip: isRoot ? false : 'only root can become all of them' }, () => {
    const { status, stdout, stderr } = spawnSync(command, [...options, process.execPath, '--input-type=module', '-e', code], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, expected);
  });
