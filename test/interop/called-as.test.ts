// A link of cfsctl's name: the same exit status and the same words as cfsctl, where cfsbridge has its own.
import assert from 'node:assert/strict';
import { symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { END, header, padded } from '../support/layers/make-tar.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { filesBelow } from '../support/walk.js';
import { cfsctl, run, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

const directory = (name: string): Buffer => header({ name, type: '5', mode: 0o755 });
const tar = Buffer.concat([
  directory('usr/'),
  header({ name: 'usr/file', size: 400 }),
  padded(Buffer.alloc(400, 'content ')),
  directory('boot/'),
  directory('sysroot/'),
  END,
]);

describe('called as cfsctl', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let link: string;
  before(() => {
    folder = new SharedFolder();
    link = join(folder.path, 'cfsctl');
    symlinkSync(cfsbridge, link);
    writeLayout(join(folder.path, 'layout'), [tar]);
  });
  after(() => folder[Symbol.dispose]());

  const repository = (name: string): string => {
    const path = makeRepository(join(folder.path, name));
    succeed(cfsctl, ['--repo', path, 'oci', 'pull', `oci:${folder.path}/layout:image`, 'a']);
    return path;
  };

  test('checks that find something end as cfsctl ends them', () => {
    const path = repository('damaged');
    for (const file of filesBelow(join(path, 'objects'))) truncateSync(file, 1);
    for (const args of [
      ['fsck'],
      ['fsck', '--json'],
      ['oci', 'fsck'],
      ['oci', 'fsck', '--json'],
      ['oci', 'fsck', '--json', 'a'],
      ['oci', 'fsck', 'a'],
    ]) {
      const [theirs, ours] = [cfsctl, link].map((program) => run(program, ['--repo', path, ...args]));
      assert.equal(ours?.status, theirs?.status, args.join(' '));
      if (args.includes('--json')) assert.equal(run(cfsbridge, ['--repo', path, ...args]).status, 1, args.join(' '));
    }
  });

  test('a search for a boot image says how much was tried', () => {
    const path = repository('search');
    const answers = [cfsctl, link].map((program) =>
      run(program, [
        '--repo',
        path,
        'oci',
        'pull',
        '--bootable',
        '--expected-digest',
        'ff'.repeat(64),
        `oci:${folder.path}/layout:image`,
        'a',
      ]),
    );
    const lines = answers.map(({ status, stderr }) => [
      status,
      stderr.split('\n').filter((line) => line.startsWith('Error: ')),
    ]);
    assert.deepEqual(lines[1], lines[0]);
    assert.match(String(lines[1]?.[1]), /tried 4 mode\/version combinations/);
  });
});
