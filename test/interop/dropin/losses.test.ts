// What cfsctl loses or lets through, and we do not. Others have their tests beside what they are about: a config that
// images share, a tag that leads nowhere and foreign files in gc.test.ts; artifacts with the config {}, blobs and
// layers that are not what their digests say in sources.test.ts; names that lead out of their folder in
// differences.test.ts.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { whyNoPeers } from '../peers.js';
import { Subjects, type Case } from './cases.js';

/** Makes a repository one of a later version, which programs of this one may read and must not change. */
function fromTheFuture(path: string): void {
  const file = join(path, 'meta.json');
  const meta = JSON.parse(readFileSync(file, 'utf8')) as { features: Record<string, string[]> };
  meta.features['read-only-compatible'] = [...(meta.features['read-only-compatible'] ?? []), 'trees_of_trees'];
  writeFileSync(file, JSON.stringify(meta));
}

describe('a repository with a feature that only its readers need not know', { skip: whyNoPeers() }, () => {
  let subjects: Subjects;
  before(() => void (subjects = new Subjects('sha512')));
  after(() => subjects[Symbol.dispose]());

  const changes: Case[] = [
    { line: 'oci tag $first new' },
    { line: 'oci untag latest' },
    { line: 'gc' },
    { line: 'create-image $rootfs new' },
    { line: 'import-image new', input: { text: 'image' } },
    { line: 'oci import-layer $app new', input: { layer: 'first' } },
    { line: 'oci pull oci:$layout:first new' },
    { line: 'oci copy example/copy:1 --from $other --name new' },
  ];
  for (const one of changes)
    test(`cfsctl changes it, we refuse: ${one.line}`, () => {
      const before = subjects.ask({ line: 'images', prepare: fromTheFuture })[1];
      const [theirs, ours] = subjects.ask({ ...one, prepare: fromTheFuture });
      assert.equal(theirs.status, 0, theirs.stderr);
      assert.notDeepEqual(theirs.state, before.state);
      assert.equal(ours.status, 1);
      assert.match(ours.stderr, /trees_of_trees/);
      assert.deepEqual(ours.state, before.state);
    });

  for (const line of ['images', 'oci images', 'oci inspect latest', 'oci dump latest', 'fsck', 'gc --dry-run'])
    test(`both read it: ${line}`, () => {
      assert.deepEqual(
        subjects.ask({ line, prepare: fromTheFuture }).map(({ status }) => status),
        [0, 0],
      );
    });
});
