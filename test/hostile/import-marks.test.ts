// Marks say that a layer was verified: whoever can make one, or exchange what it speaks of, decides what an image
// holds.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { verityDigest } from '../../src/fsverity/digest.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { diffIdOf, makeStore, type MadeLayer } from '../support/images/made-store.js';
import { attack, ATTACKER, whyNoAttacker } from './attack.js';
import { cfsbridge } from './stranger-repository.js';

const skip = whyNoAttacker();
const content = (which: string): Buffer => Buffer.alloc(5000, `${which} `);
const good: MadeLayer = { entries: [{ name: 'program', content: content('good') }] };
const evil: MadeLayer = { entries: [{ name: 'program', content: content('evil') }] };
const goodId = diffIdOf(good.entries);
const name = `oci-layer-${goodId}`;

class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), 'hostile-'));
  readonly repository = join(this.folder, 'repository');

  constructor(t: TestContext) {
    t.after(() => rmSync(this.folder, { recursive: true, force: true }));
    makeStore(join(this.folder, 'store'), [
      { name: 'localhost/good:1', layers: [good] },
      { name: 'localhost/evil:1', layers: [evil] },
    ]);
    assert.equal(cfsbridge(['init', '--insecure', this.repository]).status, 0);
  }

  run(...args: string[]): ReturnType<typeof cfsbridge> {
    return cfsbridge(['--repo', this.repository, ...args], { CONTAINERS_STORAGE_ROOT: join(this.folder, 'store') });
  }

  pull(which: 'good' | 'evil'): string {
    const { status, stdout, stderr } = this.run('oci', 'pull', `containers-storage:localhost/${which}:1`, which);
    assert.equal(status, 0, stderr);
    return stdout + stderr;
  }

  path(...names: string[]): string {
    return join(this.repository, ...names);
  }

  /** Calls the evil layer by the good one's name, and marks it. @returns the target of both */
  mark(): string {
    this.pull('evil');
    const target = readlinkSync(this.path('streams', `oci-layer-${diffIdOf(evil.entries)}`));
    symlinkSync(target, this.path('streams', name));
    symlinkSync(target, this.path('verified', name));
    return target;
  }

  /** The layer, and the file in the image, are the good ones. */
  check(): void {
    const tar = spawnSync(fileURLToPath(new URL('../../../bin/cfsbridge', import.meta.url)), [
      '--repo',
      this.repository,
      'oci',
      'layer',
      goodId,
    ]).stdout;
    assert.equal(`sha256:${createHash('sha256').update(tar).digest('hex')}`, goodId);
    const { stdout } = this.run('oci', 'fsck', 'good');
    assert.match(stdout, /^oci images: 1\/1 ok$/m);
    const dump = this.run('oci', 'dump', 'good').stdout;
    assert.ok(dump.includes(objectPath(verityDigest(content('good'), 'sha512').toString('hex'))), dump);
  }
}

type Spoil = (scene: Scene, target: string) => void;
const cases: Record<string, Spoil> = {
  'a mark and a name of his own': (scene) =>
    ['streams', 'verified'].forEach((area) => lchownSync(scene.path(area, name), ATTACKER, ATTACKER)),
  'a mark of his own': (scene) => lchownSync(scene.path('verified', name), ATTACKER, ATTACKER),
  'a name of his own': (scene) => lchownSync(scene.path('streams', name), ATTACKER, ATTACKER),
  'the folder of marks': (scene) => chownSync(scene.path('verified'), ATTACKER, ATTACKER),
  'a folder of marks that all may write': (scene) => chmodSync(scene.path('verified'), 0o1777),
  'the folder of names': (scene) => chownSync(scene.path('streams'), ATTACKER, ATTACKER),
  'a folder of names that its group may write': (scene) => chmodSync(scene.path('streams'), 0o775),
  'the folder of objects': (scene) => chownSync(scene.path('objects'), ATTACKER, ATTACKER),
  "the folder of the stream's object": (scene, target) =>
    chownSync(scene.path('streams', dirname(target)), ATTACKER, ATTACKER),
  "the stream's object": (scene, target) => chownSync(scene.path('streams', target), ATTACKER, ATTACKER),
  "the stream's object, which all may write": (scene, target) => chmodSync(scene.path('streams', target), 0o666),
  'a folder of other objects': (scene) => {
    const folder = scene.path('objects/00');
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o777);
  },
};

for (const [what, spoil] of Object.entries(cases)) {
  attack(`marks an evil layer as the good one that root pulls, with ${what}`, { skip }, (t) => {
    const scene = new Scene(t);
    spoil(scene, scene.mark());
    scene.pull('good');
    scene.check();
    return 'the mark does not count, the layer is imported';
  });
}

attack('marks a layer of his as another one, as root once did', { skip }, (t) => {
  const scene = new Scene(t);
  scene.mark();
  scene.pull('good');
  const { status, stdout } = scene.run('oci', 'fsck');
  assert.equal(status, 1);
  assert.match(
    stdout,
    new RegExp(`fsck: layer-check-failed: good: ${goodId}: the stored layer is not what its diff_id says`),
  );
  assert.equal(scene.run('oci', 'fsck', '--metadata-only').status, 0);
  return 'oci fsck rebuilds the tar and finds it';
});

test("mark and name are root's after a layer was verified again", { skip }, (t) => {
  const scene = new Scene(t);
  scene.pull('good');
  for (const area of ['streams', 'verified']) lchownSync(scene.path(area, name), ATTACKER, ATTACKER);
  scene.pull('good');
  scene.check();
  assert.match(scene.pull('good'), /already there/);
  for (const area of ['streams', 'verified']) assert.equal(lstatSync(scene.path(area, name)).uid, 0);
});
