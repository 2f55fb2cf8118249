// Which files of a layer a client is left to open itself.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fastFolder } from '../support/fast-folder.js';

const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
const code = `
import { openDirectoryPath } from ${source('fd/fd.js')};
import { readableFor } from ${source('layer/readable-for.js')};
const readable = readableFor({ pid: 0, uid: Number(process.argv[2]), gid: 0 });
const dir = openDirectoryPath(process.argv[1]);
const names = ['open', 'secret', 'none'];
process.stdout.write(String(names.map((name) => readable({ kind: 'named', dir, name, size: 1 }))));`;

let folder: string;
before(() => {
  folder = mkdtempSync(join(fastFolder, 'readable-'));
  chmodSync(folder, 0o755);
  for (const [name, mode] of [
    ['open', 0o644],
    ['secret', 0o600],
    ['none', 0o000],
  ] as const) {
    writeFileSync(join(folder, name), '.');
    chmodSync(join(folder, name), mode);
  }
});
after(() => rmSync(folder, { recursive: true }));

const NAMESPACE = ['unshare', '--user', '--map-root-user'];
const noNamespace =
  spawnSync('unshare', ['--user', '--map-root-user', 'true']).status !== 0 && 'user namespaces are not allowed here';

const cases: [what: string, server: string[], client: number, expected: string][] = [
  ['root', ['env'], 0, 'true,true,true'],
  ["the server's own user", ['env'], process.geteuid!(), 'true,true,true'],
  ['another user', ['env'], 54321, 'true,false,false'],
  ['root for a server in a user namespace, an ordinary user outside, who owns them', NAMESPACE, 0, 'true,true,false'],
  ['another user for that server', NAMESPACE, 54321, 'true,false,false'],
];
for (const [what, [program = '', ...options], client, expected] of cases)
  test(what, { skip: program === 'unshare' && noNamespace }, () => {
    const { stdout, stderr } = spawnSync(
      program,
      [...options, process.execPath, '--input-type=module', '-e', code, folder, String(client)],
      { encoding: 'utf8' },
    );
    assert.equal(stdout, expected, stderr);
  });
