import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BridgeError } from '../../src/errors.js';
import type { Shown } from '../support/list-tree.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { oddLayers, type OddImage } from './odd-images.js';
import { runInPeers, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { program } from './processes.js';
import { askCfsctl, assertSound, makeRepository, pullHere, pullWithCfsctl } from './repositories.js';

type Facts = Partial<Omit<Shown, 'mtime'>> & { mtime?: string };

interface Expected {
  /** every name below the root, or the code of the error that refuses the image */
  tree: Record<string, Facts> | string;
  /** what cfsctl 0.9.4 does with the same image; a change is reported and no failure */
  cfsctl: 'the same image' | 'fails' | 'another image' | 'no image';
}

const DIR: Facts = { mode: '40755' };
const content = (length: number): Facts => ({
  mode: '100644',
  size: length,
  content: createHash('sha256').update(Buffer.alloc(length, 'content ')).digest('hex'),
});
const FILE = content(100);
const imported = (names: Record<string, Facts>, cfsctl: Expected['cfsctl'] = 'the same image'): Expected => ({
  tree: { '/usr': DIR, ...names },
  cfsctl,
});

const expected: Record<OddImage, Expected> = {
  'latin1-names': imported(
    { '/usr/caf\xe9': FILE, [`/usr/${'\xff'.repeat(200)}`]: FILE, '/usr/link': { target: 'caf\xe9' } },
    'fails',
  ),
  'absolute-names': imported({ '/usr/file': FILE, '/usr/hard': { ...FILE, sameAs: '/usr/file' } }, 'fails'),
  'double-slashes': imported({ '/usr/dir': DIR, '/usr/dir/file': FILE, '/usr/dot': FILE }),
  'name-255': imported({ [`/usr/${'n'.repeat(255)}`]: FILE, [`/usr/${'\xc3\xbc'.repeat(127)}x`]: FILE }),
  times: imported(
    {
      '/usr/before-1970': { ...content(70), mtime: '-86400000000000' },
      '/usr/after-2106': { ...content(71), mtime: '5000000000000000000' },
      '/usr/pax-before-1970': { ...content(72), mtime: '-1250000000' },
      '/usr/pax-after-2038': { ...content(73), mtime: '4102444800123456789' },
    },
    'fails',
  ),
  'dirty-padding': imported({ '/usr/file': FILE, '/usr/next': FILE }),
  'trailing-garbage': imported({ '/usr/file': FILE }),
  'no-end': imported({ '/usr/file': FILE }),
  'no-end-short': { tree: 'TAR_TRUNCATED', cfsctl: 'another image' },
  'global-header': imported({ '/usr/file': { ...FILE, owner: '5:0' } }),
  'hard-links': imported({
    '/usr/a': { ...content(500), mode: '104755', sameAs: '/usr/a' },
    '/usr/b': { ...content(90), sameAs: '/usr/b' },
    '/usr/sym': { target: 'a', sameAs: '/usr/sym' },
    '/usr/sym-hard': { target: 'a', sameAs: '/usr/sym' },
  }),
  whiteouts: imported({ '/usr/kept': FILE, '/usr/opaque': DIR, '/usr/opaque/new': FILE }),
  'no-parents': imported({ '/usr/a': DIR, '/usr/a/b': DIR, '/usr/a/b/file': FILE }, 'fails'),
  'no-usr': { tree: { '/bin': DIR, '/bin/tool': FILE }, cfsctl: 'fails' },
  'docker-manifest': imported({ '/usr/docker': content(120) }, 'no image'),
  // The store keeps no trace of the holes, so it cannot say what the tar was.
  'pax-sparse': { tree: 'NO_TAR_SPLIT', cfsctl: 'fails' },
  'sized-links': imported(
    {
      '/usr/file': { ...FILE, sameAs: '/usr/file' },
      '/usr/hard': { ...FILE, sameAs: '/usr/file' },
      '/usr/link': { target: 'file' },
      '/usr/next': FILE,
    },
    'fails',
  ),
};
const names = Object.keys(oddLayers) as OddImage[];

describe('images with odd layers in a store of skopeo', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let ours: string, theirs: string, store: string;
  before(() => {
    folder = new SharedFolder();
    store = join(folder.path, 'store');
    [ours, theirs] = [makeRepository(join(folder.path, 'ours')), makeRepository(join(folder.path, 'theirs'))];
    for (const name of names) {
      writeLayout(join(folder.path, name), oddLayers[name]);
      const format = name === 'docker-manifest' ? 'v2s2' : 'oci';
      const target = `containers-storage:[overlay@${folder.inside}/store+${folder.inside}/run]localhost/${name}:latest`;
      const answer = runInPeers(
        'skopeo',
        '--insecure-policy',
        'copy',
        '-q',
        '--format',
        format,
        `oci:${folder.inside}/${name}:image`,
        target,
      );
      assert.equal(answer.status, 0, `${name}: ${answer.stderr}`);
    }
  });
  after(() => folder[Symbol.dispose]());

  for (const name of names) {
    const wanted = expected[name];
    const { tree } = wanted;
    if (typeof tree === 'string')
      test(`${name}: refused, and nothing of it is named`, async () => {
        await assert.rejects(
          pullHere(ours, name, { name }, store),
          (error: unknown) => error instanceof BridgeError && error.code === tree && error.place.layer !== undefined,
        );
        assert.equal(askCfsctl(ours, 'oci', 'inspect', name).status, 1);
        compareWithCfsctl(name, wanted, undefined);
      });
    else
      test(`${name}: imported exactly`, async () => {
        const { images, layers } = await pullHere(ours, name, { name }, store);
        for (const { diffId, actual } of layers) assert.equal(actual, diffId);
        const output = succeed('unshare', [
          '--mount',
          '--propagation',
          'private',
          process.execPath,
          program('list-images'),
          ours,
          name,
        ]);
        const [[, shown]] = JSON.parse(Buffer.from(output, 'latin1').toString()) as [[string, [string, Shown][]]];
        const found = new Map(shown.filter(([path]) => path !== ''));
        assert.deepEqual([...found.keys()].sort(), Object.keys(tree).sort());
        for (const [path, facts] of Object.entries(tree)) {
          const entry = found.get(path) as Shown & Record<string, unknown>;
          assert.deepEqual(Object.fromEntries(Object.keys(facts).map((key) => [key, entry[key]])), facts, path);
        }
        compareWithCfsctl(name, wanted, [...images.values()][0]);
      });
  }

  test('cfsctl finds nothing wrong in what we made of them', () => assertSound(ours));

  /** Says so when cfsctl does something else with an image than 0.9.4 did, and holds it to what it says of ours. */
  function compareWithCfsctl(name: string, { cfsctl }: Expected, erofs: string | undefined): void {
    const pulled = pullWithCfsctl(theirs, name, name, store).status === 0;
    const id = pulled && erofsOf(theirs, name);
    const does = !pulled ? 'fails' : id === undefined ? 'no image' : id === erofs ? 'the same image' : 'another image';
    if (does !== cfsctl) console.log(`cfsctl, ${name}: ${does}; version 0.9.4: ${cfsctl}`);
    if (cfsctl === 'the same image') assert.equal(askCfsctl(ours, 'oci', 'compute-id', name).stdout.trim(), erofs);
  }

  function erofsOf(repository: string, name: string): string | undefined {
    const inspected = JSON.parse(askCfsctl(repository, 'oci', 'inspect', name).stdout) as {
      composefs_erofs: string | null;
    };
    return inspected.composefs_erofs ?? undefined;
  }
});
