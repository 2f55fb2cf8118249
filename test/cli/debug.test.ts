// NODE_DEBUG=cfsbridge: what is tried and decided.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fastFolder } from '../support/fast-folder.js';
import { makeStore } from '../support/images/made-store.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

let folder: string;
const at = (name: string): string => join(folder, name);

before(() => {
  folder = mkdtempSync(join(fastFolder, 'debug-'));
  makeStore(at('store'), [
    { name: 'localhost/it:1', layers: [{ entries: [{ name: 'file', content: Buffer.alloc(500, 'x') }] }] },
  ]);
  writeFileSync(at('storage.conf'), `[storage]\ndriver = "overlay"\ngraphroot = "${at('store')}"\n`);
});
after(() => rmSync(folder, { recursive: true }));

let repositories = 0;
/** Pulls into a new repository. @returns the lines that are not there without NODE_DEBUG */
function pull(args: string[], env: NodeJS.ProcessEnv = {}): string[] {
  const repository = at(`repository-${repositories++}`);
  assert.equal(runCli(['--repo', repository, 'init', '--insecure']).status, 0);
  const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...args], {
    env: { ...process.env, NODE_DEBUG: 'cfsbridge', ...env },
  });
  assert.equal(status, 0, stderr);
  return stderr.split('\n').flatMap((line) => /^CFSBRIDGE \d+: (.*)$/.exec(line)?.[1] ?? []);
}

function says(lines: readonly string[], ...expected: RegExp[]): void {
  for (const pattern of expected)
    assert.ok(
      lines.some((line) => pattern.test(line)),
      `${pattern} is not in\n${lines.join('\n')}`,
    );
}

test('how a store was found, and how files get out of it', () => {
  says(
    pull(['containers-storage:localhost/it:1', 'it'], { CONTAINERS_STORAGE_CONF: at('storage.conf') }),
    /^storage\.conf: read \S+\/storage\.conf$/,
    /^store: \S+\/store, which is from storage\.conf, for user \d+; driver overlay; other stores: none$/,
    /^store: \S+\/store: opened, driver overlay$/,
    /^mounts: \S+\/store\/overlay and \S+\/repository-\d+: no clone, one mount shows both$/,
    /^sharing: local fetch auto: reflink, else hardlink$/,
  );
  says(
    pull(['containers-storage:localhost/it:1', 'it'], { CONTAINERS_STORAGE_ROOT: at('store') }),
    /^store: \S+\/store, which CONTAINERS_STORAGE_ROOT says; /,
  );
  says(
    pull([`containers-storage:[overlay@${at('store')}]localhost/it:1`, 'it']),
    /^store: \S+\/store, which the image's name says; no storage\.conf is read$/,
  );
});

test('why files were not shared in a better way', () => {
  const image = `containers-storage:[overlay@${at('store')}]localhost/it:1`;
  const reflinks = spawnSync('cp', ['--reflink=always', at('storage.conf'), at('clone')]).status === 0;
  if (!reflinks)
    says(
      pull([image, 'it']),
      /^layer sha256:\S+: 1 hardlinked .*; did not work: reflink from \d+:\d+: (?:EOPNOTSUPP|ENOTTY|EINVAL)$/,
    );
  says(
    pull(['--local-fetch', 'reflink', image, 'it']),
    /^sharing: local fetch reflink: reflink; no hardlink, by choice$/,
  );
});

test('which protocol was chosen, on both sides', async () => {
  const server = spawn(cfsbridge, ['serve', '--root', at('store'), '--socket', at('socket')], {
    env: { ...process.env, NODE_DEBUG: 'cfsbridge' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  server.stderr.setEncoding('utf8').on('data', (part: string) => (said += part));
  const ended = once(server, 'exit');
  while (!existsSync(at('socket'))) await sleep(20);
  says(pull(['--socket', at('socket'), 'localhost/it:1', 'it']), /^socket \S+: .*: splitfdstream over JSON-RPC$/);
  server.kill('SIGTERM');
  await ended;
  says(said.split('\n'), /^CFSBRIDGE \d+: client of user \d+: speaks (?:jsonrpc|varlink)$/);
});

test('locks that were waited for', async () => {
  assert.equal(runCli(['--repo', at('locked'), 'init', '--insecure']).status, 0);
  const holder = spawn('flock', [at('locked'), 'sh', '-c', 'echo held; sleep 2'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const released = once(holder, 'exit');
  await once(holder.stdout, 'data');
  const { status, stderr } = runCli(['--repo', at('locked'), 'oci', 'images'], {
    env: { ...process.env, NODE_DEBUG: 'cfsbridge' },
  });
  assert.equal(status, 0);
  const lines = stderr.split('\n').map((line) => line.replace(/^CFSBRIDGE \d+: /, ''));
  says(
    lines,
    /^lock: waiting for the shared lock of the repository, which a garbage collection, repair or migration has$/,
    /^lock: have the shared lock of the repository after \d+ ms$/,
  );
  await released;
});

test('names of others cannot steer the terminal', () => {
  const { stderr } = runCli(['--no-repo', 'oci', 'pull', `containers-storage:[overlay@${at('a\x1b]0;b\x07')}]x`], {
    env: { ...process.env, NODE_DEBUG: 'cfsbridge' },
  });
  assert.doesNotMatch(stderr, /[\x1b\x07]/);
});

test('nothing of it without the variable', () => {
  for (const NODE_DEBUG of ['', 'http'])
    assert.deepEqual(pull([`containers-storage:[overlay@${at('store')}]localhost/it:1`, 'it'], { NODE_DEBUG }), []);
});
