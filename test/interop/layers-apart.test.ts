// podman unpacks layers that hide, replace and lead elsewhere; what it shows is what we make of the same layers, read
// from the tars and from its store.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { tarOf } from '../support/layers/case-tar.js';
import { folders, marks } from '../support/layers/layer-cases.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { cfsctl, run, runInPeers, SharedFolder, succeed, whyNoPeers, type Answer } from './peers.js';
import { makeRepository } from './repositories.js';

const VFS_UNPACKS = 20;

/** The names of the listing that `find` or a dump gives: type, mode, target. */
const shown = (path: string, isDirectory: boolean, mode: string, target: string): string =>
  isDirectory ? `${path}/${mode.endsWith('755') ? '!' : ''}` : target === '' ? path : `${path} -> ${target}`;

describe('layers that podman unpacks', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let repository: string;
  const cases = [...marks, ...folders].map((one, index) => ({ ...one, name: `c${index}` }));
  before(() => {
    folder = new SharedFolder();
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
  });
  after(() => folder[Symbol.dispose]());

  const store = (): string => `[overlay@${folder.inside}/store+${folder.inside}/run]`;
  const pull = (source: string, tag: string): Answer =>
    run(cfsbridge, ['--repo', repository, 'oci', 'pull', source, tag]);

  function ours(tag: string): string[] {
    const lines = succeed(cfsbridge, ['--repo', repository, 'oci', 'dump', tag]).trimEnd().split('\n').slice(1);
    return lines
      .map((line) => {
        const [path = '', , mode = '', , , , , , target = ''] = line.split(' ');
        return shown(path.slice(1), mode.startsWith('4'), mode, mode.startsWith('12') ? target : '');
      })
      .sort();
  }

  function podmans(name: string): string[] {
    const podman = `podman --root ${folder.inside}/store --runroot ${folder.inside}/run --storage-driver overlay`;
    // Marks that hide nothing are names that cannot be looked at, of which find complains.
    const script =
      `cd "$(${podman} image mount localhost/${name}:1)" && find . -mindepth 1 -printf '%P\\t%y\\t%m\\t%l\\n' ` +
      `2>/dev/null || test $? = 1; ${podman} image unmount -a >/dev/null`;
    const { status, stdout, stderr } = runInPeers('sh', '-ec', script);
    assert.equal(status, 0, stderr);
    return stdout
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [path = '', type, mode = '', target = ''] = line.split('\t');
        return shown(path, type === 'd', mode, target);
      })
      .sort();
  }

  let fromVfs = 0;
  for (const { what, layers, names, podman, name, late } of cases) {
    test(what, () => {
      writeLayout(join(folder.path, name), layers.map(tarOf));
      const fromTars = pull(`oci:${folder.path}/${name}:image`, name);
      assert.equal(fromTars.status, 0, fromTars.stderr);
      assert.deepEqual(ours(name), names);
      compareIds(name, late !== undefined);
      pullFromVfs(name, names);

      const copied = runInPeers(
        'skopeo',
        '--insecure-policy',
        'copy',
        '-q',
        `oci:${folder.inside}/${name}:image`,
        `containers-storage:${store()}localhost/${name}:1`,
      );
      if (podman === 'cannot') return assert.notEqual(copied.status, 0, `podman unpacks this now: ${what}`);
      assert.equal(copied.status, 0, copied.stderr);
      const seen = podmans(name);
      if (podman === undefined) assert.deepEqual(seen, names);
      else assert.notDeepEqual(seen, names, `podman shows this as we do now: ${what}`);
      const fromStore = pull(`containers-storage:[overlay@${folder.path}/store]localhost/${name}:1`, `${name}-store`);
      assert.equal(fromStore.status, 0, fromStore.stderr);
      assert.deepEqual(ours(`${name}-store`), names);
    });
  }

  test('vfs unpacks most of them', () => assert.ok(fromVfs >= VFS_UNPACKS, `${fromVfs} of ${cases.length}`));

  /**
   * The vfs driver follows symlinks of lower layers where overlay puts folders; what the layers' tars say is the same.
   */
  function pullFromVfs(name: string, names: readonly string[]): void {
    const copied = runInPeers(
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      `oci:${folder.inside}/${name}:image`,
      `containers-storage:[vfs@${folder.inside}/vfs+${folder.inside}/run-vfs]localhost/${name}:1`,
    );
    if (copied.status !== 0) return;
    fromVfs++;
    const pulled = pull(`containers-storage:[vfs@${folder.path}/vfs]localhost/${name}:1`, `${name}-vfs`);
    assert.equal(pulled.status, 0, pulled.stderr);
    assert.deepEqual(ours(`${name}-vfs`), names);
  }

  /** cfsctl makes the same image, except of layers with a late mark; it refuses many of these. */
  function compareIds(name: string, isLate: boolean): void {
    const theirs = run(cfsctl, ['--repo', repository, 'oci', 'compute-id', name]);
    if (theirs.status !== 0) return;
    const mine = succeed(cfsbridge, ['--repo', repository, 'oci', 'compute-id', name]);
    if (isLate) assert.notEqual(theirs.stdout, mine, `${name}: cfsctl does not lose files any more`);
    else assert.equal(theirs.stdout, mine, name);
  }
});
