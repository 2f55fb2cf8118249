// Every difference that docs/cfsctl.md lists and that shows in one call; others have tests of their own.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { whyNoPeers } from '../peers.js';
import { Subjects, type Case } from './cases.js';
import type { Outcome } from './dropin.js';

function addUnknownFeature(repository: string): void {
  const path = join(repository, 'meta.json');
  const meta = JSON.parse(readFileSync(path, 'utf8')) as { features: { 'read-only-compatible': string[] } };
  meta.features['read-only-compatible'].push('from_the_future');
  writeFileSync(path, JSON.stringify(meta));
}

describe('where we differ from cfsctl', { skip: whyNoPeers() }, () => {
  let subjects: Subjects;
  before(() => void (subjects = new Subjects('sha512')));
  after(() => subjects[Symbol.dispose]());

  /** Statuses of both programs, and whether ours left the repository as it was. */
  function statuses(one: Case): [theirs: number | null, ours: number | null, untouched: boolean] {
    const [theirs, ours] = subjects.ask(one);
    return [
      theirs.status,
      ours.status,
      isSame(ours, subjects.ask({ ...one, line: '--version', input: { text: '' } })[1]),
    ];
  }
  const isSame = (a: Outcome, b: Outcome): boolean => JSON.stringify(a.state) === JSON.stringify(b.state);

  const refused: [what: string, ...cases: (Case | string)[]][] = [
    [
      'names that lead out of their folder, or have empty parts',
      'image-objects ../images/$image',
      'dump-files ../images/$image /usr',
      'create-image $rootfs ../new',
      'create-image $rootfs a//b',
      'create-image $rootfs /a',
      { line: 'import-image ../new', input: { text: 'image' } },
      { line: 'oci import-layer $app ../new', input: { layer: 'first' } },
      'cat ../streams/oci-config-$config',
      'cat refs/../oci-config-$config',
    ],
    ['tags of manifests that are not there', 'oci tag $zeros new', 'oci tag $config new'],
    ['tags that no command could be asked about', 'oci pull oci:$layout:first @new'],
    ['a secure repository asked for where an insecure one is', 'init', 'init --erofs-version 1'],
    [
      'another algorithm than that of the objects',
      'init --insecure --reset-metadata --algorithm fsverity-sha256-12',
      { line: 'init --insecure --algorithm fsverity-sha256-12', prepare: (path) => rmSync(join(path, 'meta.json')) },
    ],
    ['an OCI folder of several images without the name of one', 'oci pull oci:$layout new'],
    [
      'writing where a feature says that only programs that know it may',
      ...['gc', 'oci tag $first new', 'oci untag latest', 'create-image $rootfs new'].map((line) => ({
        line,
        prepare: addUnknownFeature,
      })),
    ],
    ['a wrong digest beside a tag', 'oci dump latest $image', 'oci compute-id latest $image'],
  ];
  for (const [what, ...cases] of refused)
    for (const one of cases.map((each) => (typeof each === 'string' ? { line: each } : each)))
      test(`refused: ${what}: ${one.line}`, () => assert.deepEqual(statuses(one), [0, 1, true]));

  test('a reset that is refused, for want of fs-verity, drops nothing', () => {
    const [theirs, ours] = subjects.ask({ line: 'init --reset-metadata' });
    const names = ({ state }: Outcome): number => state.filter((line) => line.startsWith('streams/')).length;
    assert.deepEqual([theirs.status, ours.status, names(theirs)], [1, 1, 0]);
    assert.ok(names(ours) > 5);
  });

  test('a layer is verified', () => {
    const [theirs, ours] = subjects.ask({ line: 'oci import-layer $zeros', input: { layer: 'first' }, on: 'empty' });
    assert.deepEqual([theirs.status, ours.status], [0, 1]);
    const names = ({ state }: Outcome): string[] => state.filter((line) => line.startsWith('streams/oci-layer-'));
    assert.deepEqual([names(theirs).length, names(ours).length], [1, 0]);
  });

  test('oci fsck --json prints the same and fails when something is wrong', () => {
    const [theirs, ours] = subjects.ask({ line: 'oci fsck nothing --json' });
    assert.equal(ours.stdout, theirs.stdout);
    assert.deepEqual([theirs.status, ours.status], [0, 1]);
  });

  test('lists are sorted', () => {
    for (const line of ['images --json', 'oci images --json']) {
      const [, ours] = subjects.ask({ line });
      const names = (JSON.parse(ours.stdout) as { images: { name: string }[] }).images.map(({ name }) => name);
      assert.ok(names.length > 1);
      assert.deepEqual(names, [...names].sort());
    }
  });

  test('init listens to --hash', () => {
    const [theirs, ours] = subjects.ask({ line: '--hash sha256 init --insecure', on: 'missing' });
    assert.match(theirs.stdout, /sha512/);
    assert.match(ours.stdout, /sha256/);
  });

  test('options of the program are understood after the command, too', () => {
    const [theirs, ours] = subjects.ask({ line: 'oci images --hash sha512' });
    assert.deepEqual([theirs.status, ours.status], [2, 0]);
  });

  test('a pull leaves no objects behind that it replaced itself', () => {
    const [theirs, ours] = subjects.ask({ line: 'oci pull oci:$layout:first new', on: 'empty' });
    const files = ({ state }: Outcome): string[] => state.filter((line) => / 100644 /.test(line));
    const more = files(theirs).filter((line) => !ours.state.includes(line));
    assert.deepEqual(
      files(ours).filter((line) => !theirs.state.includes(line)),
      [],
    );
    assert.equal(more.length, 2, more.join('\n'));
  });

  test('a pull with another EROFS format keeps the images of the repository’s own', () => {
    const images = ({ state }: Outcome): number => state.filter((line) => /^images\/[0-9a-f]+ ->/.test(line)).length;
    const [before] = subjects.ask({ line: 'images', gc: true });
    const [theirs, ours] = subjects.ask({ line: '--erofs-version 2 oci pull oci:$layout:first latest', gc: true });
    assert.deepEqual([theirs.status, ours.status], [0, 0]);
    assert.deepEqual([images(theirs), images(ours)], [images(before), images(before) + 1]);
  });

  test('the version is our own', () => {
    const [theirs, ours] = subjects.ask({ line: '--version' });
    assert.match(theirs.stdout, /^cfsctl 0\.9\.4\n$/);
    assert.match(ours.stdout, /^cfsbridge \d+\.\d+\.\d+\n$/);
  });
});
