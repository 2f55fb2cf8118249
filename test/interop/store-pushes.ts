import { join } from 'node:path';
import { cfsbridge } from '../support/cli/run-cli.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { SharedFolder, succeed } from './peers.js';
import { makeRepository } from './repositories.js';
import { StoreOfPeers } from './store-of-peers.js';

/** Layers by the names of the images that have them, from the lowest up. */
const IMAGES = {
  kept: ['base', 'kept'],
  it: ['base', 'first', 'second', 'third'],
  other: ['base', 'first', 'other'],
  alone: ['alone', 'second'],
} as const;
export type PushedImage = keyof typeof IMAGES;

/** A repository with images that share layers, and a store that has one of them, `kept`; until disposed. */
export class StorePushes implements Disposable {
  readonly folder = new SharedFolder();
  readonly layout = new Layout(join(this.folder.path, 'layout'));
  readonly repository = makeRepository(join(this.folder.path, 'repository'), 'sha256');
  readonly store = StoreOfPeers.in(this.folder, 'store');

  constructor() {
    const images = Object.entries(IMAGES).map(([name, layers]) => [
      name,
      this.layout.image(layers.map((layer) => ({ tar: tarWith(layer) }))),
    ]);
    this.layout.publish(Object.fromEntries(images) as Parameters<Layout['publish']>[0]);
    for (const name of Object.keys(IMAGES))
      succeed(cfsbridge, ['--repo', this.repository, 'oci', 'pull', `oci:${this.layout.path}:${name}`, name]);
    this.push('kept');
  }

  /** What an image is called in the store. */
  name(image: PushedImage): string {
    return `localhost/${image}:latest`;
  }

  /** The command line that pushes an image. */
  command(image: PushedImage): string[] {
    return [cfsbridge, '--repo', this.repository, 'oci', 'push', image, this.store.reference(this.name(image))];
  }

  push(image: PushedImage): void {
    const [program = '', ...args] = this.command(image);
    succeed(program, args);
  }

  /** The names of all images that podman lists. */
  listed(): string[] {
    return this.store
      .list()
      .flatMap(({ names }) => names)
      .sort();
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

function tarWith(name: string): Buffer {
  const files = Array.from({ length: 40 }, (_, i) => [`${name}-${i}`, Buffer.alloc(i * 3000 + 20, `${name} ${i} `)]);
  return tarOf(Object.fromEntries(files) as Record<string, Buffer>);
}
