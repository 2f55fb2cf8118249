// What a second commit costs at nginx: a request for each object that no commit of the repository has, and a few more.
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { requestsTo, startNginx } from './nginx.js';
import { cfsctl, inTree, SharedFolder, succeed, whyNoPeers } from './peers.js';

const FILES = 1000;
const FILES_PER_FOLDER = 50;
/** One file of so many changes. */
const CHANGED = 100;
/** Summary, its index and its signature, the ref, the commit's signature, a list of deltas. */
const BESIDE = 6;

for (const parent of ['the first as its parent', 'no parent'])
  test(`a second commit that has ${parent} is asked for what is new in it`, { skip: whyNoPeers() }, async (t) => {
    using folder = new SharedFolder();
    const { path, inside } = folder;
    const ostree = (...args: string[]): string => inTree('ostree', `--repo=${inside}/repo`, ...args).trim();
    const objects = (): string[] =>
      readdirSync(join(path, 'repo/objects'), { recursive: true, encoding: 'latin1' }).filter((name) =>
        /\./.test(name),
      );
    for (let file = 0; file < FILES; file++) {
      const below = join(path, `tree/usr/folder-${Math.floor(file / FILES_PER_FOLDER)}`);
      if (file % FILES_PER_FOLDER === 0) mkdirSync(below, { recursive: true });
      writeFileSync(join(below, `file-${file}`), `${file} `.repeat(1 + (file % 90)));
    }
    ostree('init', '--mode=archive');
    const first = ostree('commit', '--branch=app/one', `${inside}/tree`);
    const before = objects();
    for (let file = CHANGED - 1; file < FILES; file += CHANGED)
      appendFileSync(join(path, `tree/usr/folder-${Math.floor(file / FILES_PER_FOLDER)}/file-${file}`), 'changed');
    const history = parent === 'no parent' ? ['--parent=none'] : [`--parent=${first}`];
    ostree('commit', '--branch=app/two', ...history, `${inside}/tree`);
    ostree('summary', '-u');
    const fresh = objects().length - before.length;
    const url = await startNginx(t, folder);
    const repository = join(path, 'composefs');
    succeed(cfsctl, ['--repo', repository, 'init', '--insecure']);
    succeed(cfsbridge, ['--repo', repository, 'ostree', 'pull', url, 'app/one']);
    const asked = requestsTo(folder).length;
    succeed(cfsbridge, ['--repo', repository, 'ostree', 'pull', url, 'app/two']);
    const requests = requestsTo(folder).slice(asked);
    t.diagnostic(`${requests.length} requests for ${fresh} objects`);
    assert.ok(fresh > FILES / CHANGED && fresh < FILES / 10, `${fresh}`);
    assert.ok(requests.length <= fresh + BESIDE, requests.join('\n'));
    assert.equal(new Set(requests).size, requests.length);
    succeed(cfsctl, ['--repo', repository, 'fsck']);
  });
