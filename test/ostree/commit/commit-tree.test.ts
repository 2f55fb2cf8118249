// Commits made of images: those that cfsctl made of the same folder at the same second.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fixture, fixtureJson } from '../../support/fixtures.js';
import { runCli } from '../../support/cli/run-cli.js';
import { scratch } from '../../support/scratch.js';

interface Recorded {
  sessions: {
    title: string;
    algorithm: string;
    erofs_version: number;
    steps: { args: string[]; seen?: { stdout: string } }[];
  }[];
}

const skip = process.geteuid?.() === 0 ? false : 'needs root, for the owners of the files';
/** The clock of the record, 2024-05-06 07:08:09. */
const SECOND = '1714979289';

test('a commit of an image has the id that cfsctl gives it, and the image itself', { skip }, (t) => {
  const folder = scratch(t);
  const { sessions } = fixtureJson<Recorded>('ostree/commit/case.json');
  const tar = ['-C', folder, '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', '-'];
  assert.equal(spawnSync('tar', tar, { input: fixture('ostree/commit/source.tar') }).status, 0);
  const plain = sessions.filter(({ title }) => title.startsWith('tree without xattrs'));
  assert.equal(plain.length, 4);
  plain.forEach(({ algorithm, erofs_version: version, steps: [create, commit] }, index) => {
    const run = (words: readonly string[]): string => {
      const { status, stdout, stderr } = runCli(['--repo', join(folder, `repository-${index}`), ...words]);
      assert.equal(status, 0, stderr);
      return stdout;
    };
    run(['init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`, '--erofs-version', `${version}`]);
    const image = run(['create-image', join(folder, 'tree'), 'img']);
    assert.equal(image, create?.seen?.stdout);
    const [id] = run([...(commit?.args ?? []), '--timestamp', SECOND]).split('\n');
    assert.equal(id, commit?.seen?.stdout.split('\n')[0]);
    assert.equal(`${algorithm}:${run(['ostree', 'compute-id', 'made/plain'])}`, image);
    assert.match(run(['fsck']), /^status: ok$/m);
  });
});
