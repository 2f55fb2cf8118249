// Mounts that a server of root's makes for others.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { makeStore, type MadeEntry } from '../support/images/made-store.js';
import { runCli } from '../support/cli/run-cli.js';
import { ATTACKER, attack, whyNoAttacker } from './attack.js';
import { AttackedServer, asStranger } from './server.js';

const skip = whyNoAttacker() || whyNoMounts();
const text = (name: string): Buffer => Buffer.from(`${name} `.repeat(40));
const entries: MadeEntry[] = [
  { name: 'open/', type: '5', mode: '1777' },
  { name: 'content', content: text('content') },
  { name: 'everybody', content: text('everybody'), mode: '666' },
  { name: 'id', content: readFileSync('/usr/bin/id'), mode: '4755' },
  { name: 'zero', type: '3', mode: '666', major: 1, minor: 5 },
];

let folder: string;
let repository: string;

function whyNoMounts(): string | false {
  const known = readFileSync('/proc/filesystems', 'utf8');
  const missing = ['erofs', 'overlay'].filter((name) => !known.includes(`\t${name}\n`));
  return missing.length > 0 && `the kernel has no ${missing.join(' and no ')}`;
}

before(() => {
  if (skip !== false) return;
  folder = mkdtempSync(join(tmpdir(), 'mounts-'));
  chmodSync(folder, 0o755);
  const graphroot = join(folder, 'store');
  mkdirSync(graphroot, { mode: 0o700 });
  makeStore(graphroot, [{ name: 'localhost/mounted:1', layers: [{ entries }] }]);
  repository = join(folder, 'repository');
  for (const args of [
    ['init', '--insecure'],
    ['oci', 'pull', `containers-storage:[overlay@${graphroot}+/run/none]localhost/mounted:1`, 'it'],
  ]) {
    const { status, stderr } = runCli(['--repo', repository, ...args]);
    assert.equal(status, 0, stderr);
  }
});

after(() => folder !== undefined && rmSync(folder, { recursive: true }));

attack('a mount over varlink: run its setuid program, open its device, write to it', { skip }, async () => {
  await using server = await AttackedServer.start(folder, ['varlink']);
  assert.deepEqual(asStranger('mounted', [server.socket, repository, 'it']), {
    content: 'content',
    setuid: String(ATTACKER),
    device: 'EACCES',
    write: 'EROFS',
    create: 'EROFS',
  });
  return 'the program runs as the attacker, EACCES for the device, EROFS for each write';
});
