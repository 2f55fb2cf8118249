// cfsctl takes a layer of a store for what the store says it is; a repository it wrote must not mislead us.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { Repository } from '../../src/repository/repository.js';
import { fastFolder } from '../support/fast-folder.js';
import { diffIdOf, makeStore, type MadeEntry } from '../support/images/made-store.js';

const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');
const skip = existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it';

const entries = (content: string): MadeEntry[] => [
  { name: 'usr/', type: '5', mode: 0o755 },
  { name: 'usr/program', content: Buffer.from(content.repeat(100)) },
];
const right = { entries: entries('right ') };
const poisoned = { entries: entries('wrong '), claimed: diffIdOf(right.entries) };

const PULL = ['oci', 'pull', '--local-fetch', 'auto', 'containers-storage:localhost/image:1', 'theirs'];

let folder: string;
/** Two stores: in one of them both layers would have the same diff_id, and cfsctl takes the first. */
let stores: { good: string; poison: string };

before(() => {
  folder = mkdtempSync(join(fastFolder, 'poison-'));
  stores = { good: join(folder, 'good'), poison: join(folder, 'poison') };
  makeStore(stores.good, [{ name: 'localhost/image:1', layers: [right] }]);
  makeStore(stores.poison, [{ name: 'localhost/image:1', layers: [poisoned] }]);
});

after(() => rmSync(folder, { recursive: true }));

function ask(repository: string, graphroot: string, ...args: string[]): string {
  const env = { ...process.env, CONTAINERS_STORAGE_ROOT: graphroot, RUST_BACKTRACE: '0' };
  const { status, stdout, stderr } = spawnSync(cfsctl, ['--repo', repository, ...args], { encoding: 'utf8', env });
  assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

function freshRepository(name: string): string {
  const path = join(folder, name);
  ask(path, stores.good, 'init', '--insecure');
  return path;
}

async function pull(path: string, graphroot: string): Promise<string | undefined> {
  using repository = await Repository.open(path, { write: true });
  await using source = await openStorageImage('localhost/image:1', { graphroot });
  return (await pullImage(repository, source, { name: 'ours' })).images.get(1);
}

test("a layer that cfsctl stored under another one's diff_id is found out and replaced", { skip }, async () => {
  const clean = freshRepository('clean');
  ask(clean, stores.good, ...PULL);
  const expected = ask(clean, stores.good, 'oci', 'compute-id', 'theirs');

  const path = freshRepository('poisoned');
  ask(path, stores.poison, ...PULL);
  assert.notEqual(ask(path, stores.poison, 'oci', 'compute-id', 'theirs'), expected);
  assert.equal(await pull(path, stores.good), expected);
  assert.equal(ask(path, stores.good, 'oci', 'compute-id', 'ours'), expected);
  ask(path, stores.good, 'fsck');
});
