// Kills a program that puts an image into a containers-storage, before each thing it does to the disk.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Store } from '../../../src/storage/store.js';
import { makeStore, type MadeEntry } from '../images/made-store.js';
import { tarDigest } from '../layers/streams.js';

const PROGRAM = fileURLToPath(new URL('put-image.program.js', import.meta.url));
const IMAGE = 'localhost/steps:1';
/** Milliseconds; the machine may be busy. */
const LONGEST_RUN = 120_000;

/** A store with an image of two layers, and what becomes of another one into which the image is put. */
export class StoreSteps implements Disposable {
  /** the image that is put */
  static readonly image = IMAGE;
  readonly #folder: string;
  readonly #from: string;
  /** where the image is put */
  readonly graphroot: string;

  constructor(parent: string) {
    this.#folder = mkdtempSync(join(parent, 'steps-'));
    this.#from = join(this.#folder, 'from');
    this.graphroot = join(this.#folder, 'to');
    makeStore(this.#from, [{ name: IMAGE, layers: [0, 1].map((layer) => ({ entries: entries(layer) })) }]);
  }

  /** The command line that puts the image. */
  get command(): readonly string[] {
    return [process.execPath, PROGRAM, this.#from, this.graphroot, IMAGE];
  }

  /** Begins anew, without a store. */
  reset(): void {
    for (const path of [this.graphroot, `${this.graphroot}.run`]) rmSync(path, { recursive: true, force: true });
  }

  /** Puts the image. @returns how many steps that were */
  complete(): number {
    const { status, stdout, stderr } = this.#run();
    assert.equal(status, 0, stderr);
    return Number(stdout);
  }

  /** The same up to a step, counted from 1. @returns false when there was no such step */
  killBefore(step: number): boolean {
    const { status, signal, stderr } = this.#run(String(step));
    assert.ok(signal === 'SIGKILL' || status === 0, stderr);
    return signal === 'SIGKILL';
  }

  /** What is there can be read: layers that are said to be there are whole, and so are images. */
  async check(): Promise<void> {
    if (!existsSync(join(this.graphroot, 'overlay-images'))) return;
    using store = Store.open({ graphroot: this.graphroot, driver: 'overlay' });
    for (const image of await store.images())
      for (const layer of await store.layers(image))
        assert.equal(`sha256:${await tarDigest(await store.layerStream(layer))}`, layer.diffId);
  }

  /** Nothing is there that does not belong to the image. */
  checkClean(): void {
    const names = (folder: string): string[] => {
      const path = join(this.graphroot, folder);
      return existsSync(path) ? readdirSync(path) : [];
    };
    const layers = JSON.parse(readFileSync(join(this.graphroot, 'overlay-layers/layers.json'), 'utf8')) as {
      id: string;
      flags?: unknown;
    }[];
    assert.deepEqual(
      layers.filter(({ flags }) => flags !== undefined),
      [],
    );
    const ids = layers.map(({ id }) => id);
    assert.equal(ids.length, 2);
    assert.deepEqual([...names('overlay/tempdirs'), ...names('overlay-layers/tmp')], []);
    assert.deepEqual(
      names('overlay')
        .filter((name) => lstatSync(join(this.graphroot, 'overlay', name)).isDirectory())
        .sort(),
      [...ids, 'l', 'tempdirs'].sort(),
    );
    assert.deepEqual(names('overlay/l').sort(), ids.map((id) => this.#shortName(id)).sort());
    assert.deepEqual(
      names('overlay-layers').sort(),
      [...ids.map((id) => `${id}.tar-split.gz`), 'layers.json', 'layers.lock', 'tmp'].sort(),
    );
    assert.deepEqual(
      names('overlay-images').filter((name) => name.startsWith('.')),
      [],
    );
    assert.equal(names('overlay-images').length, 3);
  }

  #shortName(id: string): string {
    return readFileSync(join(this.graphroot, 'overlay', id, 'link'), 'utf8');
  }

  #run(...step: string[]): { status: number | null; signal: string | null; stdout: string; stderr: string } {
    const [program = '', ...args] = this.command;
    return spawnSync(program, [...args, ...step], { encoding: 'utf8', timeout: LONGEST_RUN });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function entries(layer: number): MadeEntry[] {
  return [
    { name: 'usr/', type: '5', mode: 0o755 },
    { name: `usr/small${layer}`, content: Buffer.from('small') },
    { name: `usr/large${layer}`, content: Buffer.alloc(300_000, 'large') },
  ];
}
