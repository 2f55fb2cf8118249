// What only SIGKILL ended: folders that can never be made, and calls that do not return while signals have handlers in
// JavaScript.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fastFolder } from '../support/fast-folder.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { systemTar } from '../support/layers/system-tar.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

/** Generous, for commands that have next to nothing to do. */
const LONGEST = 20_000;
const REMOVED_FOLDER = 'folder=$(mktemp -d) && cd "$folder" && rmdir "$folder" && exec "$@"';

let folder: string;
const at = (name: string): string => join(folder, name);
const mkcomposefs = join(cfsbridge, '../mkcomposefs');

before(() => {
  folder = mkdtempSync(join(fastFolder, 'held-up-'));
  writeLayout(at('layout'), [
    systemTar({ 'usr/lib/modules/6.1/vmlinuz': 'kernel', 'usr/lib/modules/6.1/initramfs.img': 'initramfs' }),
  ]);
  for (const args of [
    ['init', '--insecure'],
    ['oci', 'pull', '--bootable', `oci:${at('layout')}`, 'os'],
  ])
    assert.equal(runCli(['--repo', at('repo'), ...args]).status, 0);
  mkdirSync(at('files'));
  writeFileSync(at('files/large'), Buffer.alloc(5000, 'x'));
});
after(() => rmSync(folder, { recursive: true }));

const commands: [string, (place: string) => string[]][] = [
  ['init', (place) => [cfsbridge, '--repo', place, 'init', '--insecure']],
  ['oci prepare-boot', (place) => [cfsbridge, '--repo', at('repo'), 'oci', 'prepare-boot', 'os', '--bootdir', place]],
  ['mkcomposefs', (place) => [mkcomposefs, `--digest-store=${place}`, at('files'), at('image')]],
];

for (const [name, command] of commands)
  for (const [where, place, start] of [
    ['where no folder can be made', '/proc/none/x', ''],
    ['in a working directory that was removed', 'below/x', REMOVED_FOLDER],
    ['directly in a working directory that was removed', 'x', REMOVED_FOLDER],
  ] as const)
    test(`${name} ${where} fails at once`, () => {
      const { status, signal, stderr } = spawnSync('sh', ['-c', start || 'exec "$@"', 'sh', ...command(place)], {
        encoding: 'utf8',
        timeout: LONGEST,
        killSignal: 'SIGKILL',
      });
      assert.equal(signal, null, 'it went on and on');
      assert.equal(status, 1, stderr);
      assert.match(stderr, /cannot be made|No such file or directory|ENOENT/);
      assert.doesNotMatch(stderr, /^ +at /m, 'a defect');
    });

/** Holds a command up for good once it has handlers for signals. */
const HOLD_UP = `
const timer = setInterval(() => {
  if (process.listenerCount('SIGTERM') === 0) return;
  clearInterval(timer);
  setImmediate(() => {
    require('node:fs').writeSync(2, 'held up');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}, 10);
`;

for (const [signal, status] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)
  test(`${signal} ends a command in a call that does not return`, async () => {
    writeFileSync(at('hold-up.cjs'), HOLD_UP);
    const env = { ...process.env, NODE_OPTIONS: `--require ${at('hold-up.cjs')}` };
    const child = spawn(cfsbridge, ['--repo', at('repo'), 'transaction'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'exit');
    await once(child.stderr, 'data');
    child.kill(signal);
    const forced = setTimeout(() => child.kill('SIGKILL'), LONGEST);
    assert.deepEqual(await ended, [status, null]);
    clearTimeout(forced);
  });

/** Lets a command live on for seven seconds after a signal that it saw. */
const LIVE_ON = `
process.once('SIGTERM', () => setTimeout(() => process.stdout.write('alive'), 7000));
const timer = setInterval(() => {
  if (process.listenerCount('SIGTERM') < 2) return;
  clearInterval(timer);
  process.stdout.write('ready');
}, 10);
`;

test('a signal that is seen has no consequences later', async () => {
  writeFileSync(at('live-on.cjs'), LIVE_ON);
  const env = { ...process.env, NODE_OPTIONS: `--require ${at('live-on.cjs')}` };
  const child = spawn(cfsbridge, ['--repo', at('repo'), 'transaction'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [alive] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(alive.toString(), 'alive');
  assert.deepEqual(await ended, [143, null]);
});
