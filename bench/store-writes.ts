import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import { canMount } from './own-mounts.js';
import { settle, Unavailable, type Place } from './place.js';
import { Program } from './programs.js';
import { inTurns } from './pulls.js';
import { measuredImages } from './registry-pulls.js';
import type { Row, Series } from './samples.js';

const IN_PEERS = fileURLToPath(new URL('../../scripts/in-peers.sh', import.meta.url));
/** An empty folder of the Debian tree. */
const INSIDE = '/mnt';
const COPY = ['copy', '-q'] as const;

/**
 * Images into an empty containers-storage: out of a repository, beside what skopeo makes of the same image in a layout;
 * and out of another store, both.
 */
export async function* storeWrites(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const writes = new StoreWrites(bench, place);
  for (const { image, bench: own, subject } of measuredImages(bench)) {
    bench.progress(`store-write: preparing ${image}`);
    await writes.prepare(image);
    try {
      const row = (what: string, series: Series[]): Row => ({
        case: 'store-write',
        subject: `${subject}, ${what}`,
        series,
      });
      yield row('repository / layout', await writes.fromRepository(own, image));
      yield row('store', await writes.fromStore(own, image));
    } finally {
      writes.forget();
    }
  }
}

class StoreWrites {
  readonly #bench: Bench;
  readonly #place: Place;
  readonly #skopeo: Program;
  readonly #repository: string;
  readonly #layout: string;
  readonly #store: string;

  /** @throws Unavailable without root or skopeo */
  constructor(bench: Bench, place: Place) {
    const tree = join(bench.peers, 'sid');
    if (!canMount() || !existsSync(join(tree, 'usr/bin/skopeo')))
      throw new Unavailable('skopeo needs root and scripts/peers.sh');
    execFileSync(IN_PEERS, ['true'], { env: { ...process.env, CFSBRIDGE_PEERS: bench.peers } });
    execFileSync('mount', ['--bind', place.folder, join(tree, INSIDE)]);
    this.#bench = bench;
    this.#place = place;
    this.#skopeo = new Program('skopeo', ['chroot', tree, 'skopeo', '--insecure-policy'], bench.measure);
    this.#repository = join(place.folder, 'repository');
    this.#layout = join(place.folder, 'layout');
    this.#store = join(place.folder, 'written');
  }

  async prepare(image: string): Promise<void> {
    const { ours, measure } = this.#bench;
    await ours.init(this.#repository);
    await ours.pull(this.#repository, this.#place.graphroot, image);
    await measure.run([...this.#skopeo.command, ...COPY, this.#stored('store', image), `oci:${INSIDE}/layout:it`]);
  }

  forget(): void {
    for (const path of [this.#repository, this.#layout]) rmSync(path, { recursive: true, force: true });
  }

  fromRepository(bench: Bench, image: string): Promise<Series[]> {
    return this.#compare(
      bench,
      image,
      () => this.#ours(['--repo', this.#repository, 'oci', 'push', image]),
      () => this.#theirs(`oci:${INSIDE}/layout:it`, image),
    );
  }

  fromStore(bench: Bench, image: string): Promise<Series[]> {
    const from = `containers-storage:[overlay@${this.#place.graphroot}]localhost/${image}:latest`;
    return this.#compare(
      bench,
      image,
      () => this.#ours(['copy', '--insecure-policy', from]),
      () => this.#theirs(this.#stored('store', image), image),
    );
  }

  #compare(bench: Bench, image: string, ours: () => Promise<Run>, theirs: () => Promise<Run>): Promise<Series[]> {
    return inTurns(bench, [bench.ours, this.#skopeo], `store-write ${image}`, async (program) => {
      try {
        settle(this.#place.folder, bench.work);
        return await (program === this.#skopeo ? theirs() : ours());
      } finally {
        this.#removeStore();
      }
    });
  }

  /** @throws Error when content is copied that could be shared */
  async #ours(words: readonly string[]): Promise<Run> {
    const { ours, measure } = this.#bench;
    return measure.run([
      ...ours.command,
      ...words,
      '--zero-copy',
      `containers-storage:[overlay@${this.#store}]localhost/it:1`,
    ]);
  }

  #theirs(from: string, image: string): Promise<Run> {
    return this.#bench.measure.run([...this.#skopeo.command, ...COPY, from, this.#stored('written', image)]);
  }

  #stored(store: string, image: string): string {
    return `containers-storage:[overlay@${INSIDE}/${store}+${INSIDE}/run]localhost/${image}:latest`;
  }

  #removeStore(): void {
    // The driver mounts its folder on itself and leaves it so.
    const overlay = join(this.#bench.peers, 'sid', INSIDE, 'written/overlay');
    execFileSync('sh', ['-c', 'umount -l "$0" 2>/dev/null || true', overlay]);
    rmSync(this.#store, { recursive: true, force: true });
    settle(this.#place.folder, this.#bench.work);
  }
}
