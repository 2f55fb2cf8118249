// Pulls of commits that real ostree made, killed at random moments of their whole length: both programs find nothing
// wrong, and the next try completes. CFSBRIDGE_KILLS says how many kills.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { startCli } from '../support/cli/start-cli.js';
import { requestsTo, startNginx } from './nginx.js';
import { cfsctl, inTree, SharedFolder, succeed, whyNoPeers } from './peers.js';

const KILLS = Number(process.env['CFSBRIDGE_KILLS'] ?? 10);
const FILES = 2500;
const FILES_PER_FOLDER = 50;
/** Of the files, what may be asked for twice when a pull is killed in its middle. */
const TWICE = 0.05;

describe('kills', { skip: whyNoPeers() }, () => {
  const cleanup: (() => unknown)[] = [];
  let folder: SharedFolder;
  let url: string;
  let commit: string;
  let repository: string;

  before(async () => {
    folder = new SharedFolder();
    cleanup.push(() => folder[Symbol.dispose]());
    const { path, inside } = folder;
    for (let file = 0; file < FILES; file++) {
      const below = join(path, `tree/usr/folder-${Math.floor(file / FILES_PER_FOLDER)}`);
      if (file % FILES_PER_FOLDER === 0) mkdirSync(below, { recursive: true });
      writeFileSync(join(below, `file-${file}`), randomBytes(file % 500 === 0 ? 700_000 : 50 + file * 4));
    }
    const ostree = (repo: string, ...args: string[]): string =>
      inTree('ostree', `--repo=${inside}/${repo}`, ...args).trim();
    for (const [repo, mode] of [
      ['repo', 'archive'],
      ['bare', 'bare'],
    ] as const) {
      ostree(repo, 'init', `--mode=${mode}`);
      commit = ostree(repo, 'commit', '--branch=app/one', '--timestamp=@1000', `${inside}/tree`);
    }
    ostree('repo', 'static-delta', 'generate', '--empty', `--to=${commit}`);
    ostree('repo', 'static-delta', 'generate', '--empty', '--inline', `--to=${commit}`, `--filename=${inside}/delta`);
    ostree('repo', 'summary', '-u');
    url = await startNginx({ after: (end) => void cleanup.unshift(end as () => unknown) }, folder);
    repository = join(path, 'composefs');
  });
  after(async () => {
    for (const end of cleanup) await end();
  });

  function renew(): void {
    rmSync(repository, { recursive: true, force: true });
    succeed(cfsctl, ['--repo', repository, 'init', '--insecure']);
  }

  function assertClean(): void {
    for (const program of [cfsctl, cfsbridge]) succeed(program, ['--repo', repository, 'fsck']);
  }

  /** @param when ends the command by what it is given @returns whether it was killed before it ended */
  async function killed(words: readonly string[], when: (kill: () => void) => NodeJS.Timeout): Promise<boolean> {
    const { child, ended } = startCli(['--repo', repository, 'ostree', ...words]);
    const timer = when(() => child.kill('SIGKILL'));
    const { status, stderr } = await ended;
    clearInterval(timer);
    assert.ok(status === null || status === 0, stderr);
    return status === null;
  }

  const ways = (): Readonly<Record<string, readonly string[]>> => ({
    'an archive': ['pull-local', join(folder.path, 'repo'), 'app/one'],
    'a bare repository': ['pull-local', join(folder.path, 'bare'), 'app/one'],
    'objects over HTTP': ['pull', '--no-delta', url, 'app/one'],
    'a delta over HTTP': ['pull', url, 'app/one'],
    'a delta in a file': ['apply-delta', join(folder.path, 'delta')],
  });

  test(`${KILLS} kills: nothing is wrong, and the next try completes`, async (t) => {
    const lengths = new Map<string, number>();
    for (const [way, words] of Object.entries(ways())) {
      renew();
      const begin = performance.now();
      succeed(cfsbridge, ['--repo', repository, 'ostree', ...words]);
      lengths.set(way, performance.now() - begin);
    }
    const early = new Map<string, number>();
    for (let round = 0; round < KILLS; round++) {
      const [way, words] = Object.entries(ways())[round % lengths.size]!;
      renew();
      const isEarly = await killed(words, (kill) => setTimeout(kill, randomInt(Math.ceil(lengths.get(way)!))));
      if (isEarly) early.set(way, (early.get(way) ?? 0) + 1);
      assertClean();
      succeed(cfsbridge, ['--repo', repository, 'ostree', ...words]);
      assertClean();
      assert.ok(existsSync(join(repository, `streams/ostree-commit-${commit}`)), way);
    }
    t.diagnostic([...early].map(([way, count]) => `${way}: ${count} killed before it ended`).join('; '));
  });

  test('of a pull that is killed at 50 % hardly a file is asked for twice', async (t) => {
    renew();
    const { path } = folder;
    const log = join(path, 'requests');
    const skipped = statSync(log).size;
    const files = (paths: readonly string[]): string[] => paths.filter((one) => one.endsWith('.filez'));
    const earlier = requestsTo(folder).length;
    const words = ways()['objects over HTTP']!;
    const line = Math.ceil(skipped / earlier);
    const isEarly = await killed(words, (kill) =>
      setInterval(() => {
        if (statSync(log).size - skipped >= line * FILES * 0.5) kill();
      }, 1),
    );
    const first = files(requestsTo(folder).slice(earlier));
    assertClean();
    const between = requestsTo(folder).length;
    succeed(cfsbridge, ['--repo', repository, 'ostree', ...words]);
    const second = files(requestsTo(folder).slice(between));
    const twice = second.filter((one) => first.includes(one)).length;
    t.diagnostic(`${first.length} files, then ${second.length}, ${twice} of them again`);
    assert.ok(isEarly && first.length > FILES * 0.2 && first.length < FILES * 0.9, `${first.length}`);
    assert.ok(twice < FILES * TWICE, `${twice}`);
    assertClean();
  });
});
