import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';

const WRONG_USAGE = 2;

const wrong: [args: string[], message: RegExp][] = [
  [['oci', 'pull', 'containers-storage:x', '--from', '/srv/other'], /'--from'.*'--socket'/],
  [['oci', 'copy', 'x'], /'--from' and '--to'/],
  [['oci', 'copy', 'x', '--to', '/srv/other'], /'--to' needs '--socket'/],
  [['oci', 'copy', 'x', '--from', '/srv/one', '--to', '/srv/other'], /cannot be used with/],
  [['serve', '--repository', '--root', '/srv/store', '--socket', '/tmp/none'], /cannot be used with/],
  [['serve', '--repository', '--image', 'x', '--socket', '/tmp/none'], /cannot be used with/],
  [['serve', '--repository'], /serve needs --socket/],
];

for (const [args, message] of wrong)
  test(`${args.join(' ')}: wrong usage`, () => {
    const { status, stderr, stdout } = runCli(args);
    assert.equal(status, WRONG_USAGE, stderr);
    assert.match(stderr, message);
    assert.equal(stdout, '');
  });
