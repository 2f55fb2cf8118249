// A store that we write into, beside one that skopeo fills with the same images; and what podman says of both.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Store } from '../../src/storage/store.js';
import { openStoreForWriting } from '../../src/storage/write/open.js';
import type { PutImageResult } from '../../src/storage/write/put-image.js';
import type { Answer, SharedFolder } from './peers.js';
import { inTree, runInPeers } from './peers.js';

/** Puts images of one store into another. @param names all of them when left out */
export async function fillStore(from: string, to: string, names?: readonly string[]): Promise<PutImageResult[]> {
  using source = Store.open({ graphroot: from, driver: 'overlay' });
  await using store = await openStoreForWriting({ graphroot: to });
  const images = names ? await Promise.all(names.map((name) => source.image(name))) : await source.images();
  const results: PutImageResult[] = [];
  for (const image of images) {
    let topLayer: string | undefined;
    for (const { id, diffId } of await source.layers(image)) {
      const stream = await source.layerStream({ id }, { lease: 'descriptors' });
      ({ id: topLayer } = await store.putLayer(stream, { parent: topLayer, diffId: diffId! }));
    }
    const [manifest, config] = [image.manifest(), image.config()];
    results.push(await store.putImage({ manifest, config, topLayer, names: image.names }));
  }
  return results;
}

/** A store below a folder that programs of the Debian tree see. */
export class TreeStore {
  readonly graphroot: string;
  readonly #inside: string;

  constructor(folder: SharedFolder, name: string) {
    this.graphroot = join(folder.path, name);
    this.#inside = `${folder.inside}/${name}`;
  }

  /** A reference to an image in it, for skopeo. */
  reference(name: string): string {
    return `containers-storage:[overlay@${this.#inside}+${this.#inside}.run]${name}`;
  }

  /** The beginning of a command line of podman or buildah. */
  command(program: string): string[] {
    return [program, '--root', this.#inside, '--runroot', `${this.#inside}.run`, '--storage-driver', 'overlay'];
  }

  /** What podman prints; it has to succeed. */
  podman(...args: string[]): string {
    return inTree('env', 'PODMAN_IGNORE_CGROUPSV1_WARNING=1', ...this.command('podman'), ...args);
  }

  /** How podman ends. */
  tryPodman(...args: string[]): Answer {
    return runInPeers('env', 'PODMAN_IGNORE_CGROUPSV1_WARNING=1', ...this.command('podman'), ...args);
  }

  /** What is wrong with it, in podman's words, in any order. */
  problems(...options: string[]): string[] {
    const { stdout, stderr } = this.tryPodman('system', 'check', ...options);
    const lines = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim());
    // A folder that the layer does not have an entry for has the time of its making.
    const same = lines.map((line) => line.replace(/(mtime:\w+[^\w,)]+)\w+/g, '$1…'));
    return [...new Set(same.filter((line) => line !== '' && !/^\d+ errors? occurred:$/.test(line)))].sort();
  }

  /** It has no images and no layers any more, and nothing is left of any. */
  assertEmpty(list: (path: string) => string[]): void {
    for (const [name, expected] of [
      ['overlay/tempdirs', []],
      ['overlay-layers/tmp', []],
      ['overlay/l', []],
      ['overlay', ['.has-mount-program', 'l', 'tempdirs']],
    ] as const)
      assert.deepEqual(list(join(this.graphroot, name)).sort(), expected);
  }
}
