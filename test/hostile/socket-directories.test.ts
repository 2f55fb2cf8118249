// Descriptors that were handed out as keys: to folders below one that only root enters, and to rights that its files
// give.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { attackedStore } from './attacked-store.js';
import { initRepository } from '../../src/repository/init.js';
import { diffIdOf, makeStore, type MadeEntry } from '../support/images/made-store.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { asAttacker, ATTACKER, attack, whyNoAttacker } from './attack.js';
import { AttackedServer, asStranger } from './server.js';

const skip = whyNoAttacker();
const text = (name: string): Buffer => Buffer.from(`${name} `.repeat(40));
const entries: MadeEntry[] = [
  { name: 'open/', type: '5', mode: '1777' },
  { name: 'everybody', content: text('everybody') },
  { name: 'own', content: text('own') },
  { name: 'id', content: readFileSync('/usr/bin/id'), mode: '4755' },
];

const image = { name: 'localhost/keys:1', layers: [{ entries }] };

let folder: string;
let graphroot: string;
let layerId: string;
let diff: string;

before(() => {
  if (skip !== false) return;
  ({ folder, graphroot, layerId, diff } = attackedStore(image.name, entries, 0o700));
  chmodSync(join(diff, 'open'), 0o1777);
  chmodSync(join(diff, 'everybody'), 0o666);
  chownSync(join(diff, 'own'), ATTACKER, ATTACKER);
  chmodSync(join(diff, 'id'), 0o4755);
});

after(() => folder !== undefined && rmSync(folder, { recursive: true }));

/** root as ever, but without the right to clone mounts */
const WITHOUT_CLONES = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'];

const tries = ['new:open/mine', 'everybody', 'own', 'run:id', 'read:own'];

function assertLocked(results: Record<string, string>): string {
  assert.deepEqual(results, {
    up: 'everybody,id,open,own',
    'up up': 'everybody,id,open,own',
    'new:open/mine': 'EROFS',
    everybody: 'EROFS',
    own: 'EROFS',
    'run:id': String(ATTACKER),
    'read:own': 'own own own own own ',
  });
  return 'EROFS for each write, the program runs as the attacker, `..` stays in the layer';
}

for (const protocol of ['jsonrpc', 'store'])
  attack(
    `a layer's folder (${protocol === 'jsonrpc' ? 'JSON-RPC' : 'varlink'}): make, write and run files in it, go up`,
    { skip },
    async () => {
      await using server = await AttackedServer.start(folder, ['serve', '--root', graphroot]);
      return assertLocked(asStranger('try-keys', [protocol, server.socket, layerId, graphroot, ...tries]));
    },
  );

attack(
  'descriptors of the form of one for each file: open them again for writing, grow the stream, run a setuid one',
  { skip },
  async () => {
    await using server = await AttackedServer.start(folder, ['serve', '--root', graphroot]);
    const results = asStranger<Record<string, string>>('try-keys', ['legacy', server.socket, layerId, graphroot]);
    assert.deepEqual(results, {
      grow: 'EINVAL',
      'reopen stream': 'EACCES',
      reopen: 'EACCES,EROFS',
      setuid: String(ATTACKER),
    });
    return 'EROFS, EINVAL and EACCES; the program runs as the attacker';
  },
);

attack('a server that cannot make clones (no CAP_SYS_ADMIN): the folder, the files', { skip }, async () => {
  await using server = await AttackedServer.start(folder, ['serve', '--root', graphroot], WITHOUT_CLONES);
  for (const protocol of ['jsonrpc', 'store']) {
    const { up, ...others } = asStranger<Record<string, string>>('try-keys', [
      protocol,
      server.socket,
      layerId,
      graphroot,
      ...tries,
    ]);
    assert.deepEqual([up, others['own'], others['read:own']], ['ENOTDIR', 'ENOTDIR', 'ENOTDIR']);
  }
  const results = asStranger<Record<string, string>>('try-keys', ['legacy', server.socket, layerId, graphroot]);
  assert.deepEqual(results, { grow: 'EINVAL', 'reopen stream': 'EACCES', reopen: '', setuid: '' });
  return 'no descriptor but the stream: content comes inline';
});

for (const [what, runner] of [
  ['through the clone', []],
  ['inline', WITHOUT_CLONES],
] as const)
  test(`an honest stranger gets the image, ${what}`, { skip }, async () => {
    await using server = await AttackedServer.start(folder, ['serve', '--root', graphroot], runner);
    const repository = mkdtempSync(join(folder, 'strangers-'));
    chownSync(repository, ATTACKER, ATTACKER);
    for (const args of [
      ['init', '--insecure'],
      ['oci', 'pull', '--socket', server.socket, image.name, 'it'],
      ['oci', 'fsck'],
    ]) {
      const [command = '', ...options] = asAttacker;
      const { status, stderr } = spawnSync(command, [...options, cfsbridge, '--repo', repository, ...args], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
    }
  });

for (const protocol of ['jsonrpc', 'repository'])
  attack(
    `a repository's objects (${protocol === 'jsonrpc' ? 'serve --repository' : 'varlink'}): write an object that ` +
      'is open to all, go up',
    { skip },
    async () => {
      const repository = join(folder, `repository-${protocol}`);
      initRepository(repository, { insecure: true, algorithm: 'sha256' });
      // Of its own: what attacks before this one did to the other is theirs to tell.
      const store = join(folder, `store-${protocol}`);
      mkdirSync(store, { mode: 0o700 });
      makeStore(store, [image]);
      const pulled = runCli([
        '--repo',
        repository,
        'oci',
        'pull',
        `containers-storage:[overlay@${store}+/run/none]${image.name}`,
        'it',
      ]);
      assert.equal(pulled.status, 0, pulled.stderr);
      const found = readdirSync(join(repository, 'objects'), { recursive: true, encoding: 'utf8' }).filter(
        (name) => name.length > 60,
      );
      for (const name of found) chmodSync(join(repository, 'objects', name), 0o666);
      const args = protocol === 'jsonrpc' ? ['--repo', repository, 'serve', '--repository'] : ['varlink'];
      await using server = await AttackedServer.start(folder, args);
      const results = asStranger<Record<string, string>>('try-keys', [
        protocol,
        server.socket,
        diffIdOf(entries),
        repository,
        ...found,
      ]);
      const { up, 'up up': upUp, ...written } = results;
      assert.deepEqual([...new Set(Object.values(written))], ['EROFS']);
      assert.ok(!up!.includes('meta.json') && !upUp!.includes('store'));
      return 'EROFS; `..` stays in objects';
    },
  );
