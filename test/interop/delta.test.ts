// Deltas of the Go program, and such with dictionaries, applied by cfsctl and by us: the same digests.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { fixture } from '../support/fixtures.js';
import { cfsctl, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { assertSound, fixedNamesOf } from './repositories.js';

/** Cases of fixtures/delta, and which delta of them is applied. */
const DELTAS: readonly [folder: string, delta: string][] = [
  ['real', 'delta'],
  ['ops', 'd/adddata'],
  ['dict', 'd/two-dicts'],
  ['dict', 'd/window-29'],
];

describe('a delta that cfsctl applies, and we', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  before(() => {
    folder = new SharedFolder();
    for (const name of new Set(DELTAS.map(([source]) => source))) {
      const path = join(folder.path, name);
      execFileSync('mkdir', [path]);
      execFileSync('tar', ['-C', path, '-xpf', '-'], { input: fixture(`delta/${name}/source.tar`) });
    }
  });
  after(() => folder[Symbol.dispose]());

  let count = 0;
  /** A new repository of one program with what it makes of the references, and its output for the last. */
  function pulled(
    program: string,
    algorithm: string,
    version: number,
    references: readonly string[],
  ): [string, string] {
    const repository = join(folder.path, `repository-${count++}`);
    const init = ['init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`, '--erofs-version', `${version}`];
    succeed(program, ['--repo', repository, ...init]);
    let output = '';
    for (const reference of references)
      output = succeed(program, ['--repo', repository, 'oci', 'pull', `oci:${join(folder.path, reference)}`, 'image']);
    return [repository, output.replace(/^(verity|objects) .*$/gm, '')];
  }

  for (const [source, delta] of DELTAS)
    for (const algorithm of ['sha256', 'sha512'])
      for (const version of [1, 2])
        test(`${source}, ${delta}, ${algorithm}, EROFS version ${version}: names, digests and output are the same`, () => {
          const references = [`${source}/base`, `${source}/${delta}`];
          const [theirs, theirOutput] = pulled(cfsctl, algorithm, version, references);
          const [ours, ourOutput] = pulled(cfsbridge, algorithm, version, references);
          assert.equal(ourOutput, theirOutput);
          assert.deepEqual(fixedNamesOf(ours), fixedNamesOf(theirs));
          assertSound(ours);
        });

  // cfsctl 0.9.4 takes no images into repositories of version 0.
  for (const algorithm of ['sha256', 'sha512'])
    test(`${algorithm}, EROFS version 0: the same as our pull of the image itself`, () => {
      const [made] = pulled(cfsbridge, algorithm, 0, ['real/base', 'real/delta']);
      const [whole] = pulled(cfsbridge, algorithm, 0, ['real/base', 'real/target']);
      assert.deepEqual(fixedNamesOf(made), fixedNamesOf(whole));
    });
});
