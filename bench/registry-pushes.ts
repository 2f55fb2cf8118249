import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import { settle, type Place } from './place.js';
import { Program } from './programs.js';
import { inTurns } from './pulls.js';
import { FORMATS, measuredImages, pushStored } from './registry-pulls.js';
import { RegistryServer } from './registry-server.js';
import type { Row, Series } from './samples.js';

/** What both programs compress with when they are not told. */
const LEVELS = { gzip: '6', zstd: '3' } as const;

/** Pushes into an empty registry: blobs as they are, then all of it again, and layers compressed; beside skopeo's. */
export async function* registryPushes(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  await using server = await RegistryServer.start(bench);
  for (const { image, bench: own, subject } of measuredImages(bench)) {
    const pushes = new Pushes(own, place, server, image);
    try {
      bench.progress(`registry-push: preparing ${image}`);
      await pushes.prepare();
      yield row(`${subject}, blobs as they are`, await pushes.asTheyAre());
      yield row(`${subject}, the same again`, await pushes.again());
      for (const format of FORMATS) {
        const { series, what } = await pushes.compressed(format);
        yield row(`${subject}, ${what}`, series);
      }
    } finally {
      pushes.remove();
    }
  }
}

const row = (subject: string, series: Series[]): Row => ({ case: 'registry-push', subject, series });

/** The pushes of one image. */
class Pushes {
  readonly #bench: Bench;
  readonly #place: Place;
  readonly #server: RegistryServer;
  readonly #image: string;
  readonly #skopeo: Program;
  /** with the blobs that it was pulled as, and without */
  readonly #kept: string;
  readonly #plain: string;
  readonly #layout: string;

  constructor(bench: Bench, place: Place, server: RegistryServer, image: string) {
    this.#bench = bench;
    this.#place = place;
    this.#server = server;
    this.#image = image;
    this.#skopeo = new Program('skopeo', server.skopeo, bench.measure);
    this.#kept = join(place.folder, 'kept');
    this.#plain = join(place.folder, 'plain');
    this.#layout = join(server.folder, 'layout');
  }

  async prepare(): Promise<void> {
    const { ours, store } = this.#bench;
    await pushStored(
      this.#bench,
      this.#server,
      this.#image,
      ['--format', 'oci'],
      `oci:${this.#server.inside}/layout:it`,
    );
    await ours.init(this.#kept);
    await this.#cfsbridge(this.#kept, 'pull', '--keep-blobs', `oci:${this.#layout}:it`, this.#image);
    await ours.init(this.#plain);
    await ours.pull(this.#plain, store, this.#image);
  }

  remove(): void {
    for (const path of [this.#kept, this.#plain, this.#layout]) rmSync(path, { recursive: true, force: true });
  }

  async asTheyAre(): Promise<Series[]> {
    return this.#compare(
      () => this.#intoEmpty(() => this.#push(this.#kept)),
      () => this.#intoEmpty(() => this.#copy()),
    );
  }

  /** @throws Error when a blob is sent that is there */
  async again(): Promise<Series[]> {
    await this.#intoEmpty(() => this.#push(this.#kept));
    return this.#compare(
      async () => {
        const run = await this.#push(this.#kept);
        if (!/^blobs {4}0 sent, 0 B;/m.test(run.stdout)) throw new Error(`a second push sends blobs: ${run.stdout}`);
        return run;
      },
      () => this.#copy(),
    );
  }

  async compressed(format: (typeof FORMATS)[number]): Promise<{ series: Series[]; what: string }> {
    const level = LEVELS[format];
    const [ours, theirs] = [
      ['--compression', format, '--compression-level', level],
      ['--format', 'oci', '--dest-compress', '--dest-compress-format', format, '--dest-compress-level', level],
    ];
    const sizes = [0, 0];
    const sized = async (index: number, push: () => Promise<Run>): Promise<Run> => {
      const run = await this.#intoEmpty(push);
      sizes[index] = await this.#size();
      return run;
    };
    const series = await this.#compare(
      () => sized(0, () => this.#push(this.#plain, ...ours)),
      () => sized(1, () => pushStored(this.#bench, this.#server, this.#image, theirs, this.#target)),
    );
    const megabytes = sizes.map((size) => (size / 1e6).toFixed(1));
    return { series, what: `${format} ${level}, to ${megabytes.join(' and ')} MB` };
  }

  get #target(): string {
    return `docker://${this.#server.host}/bench/pushed:1`;
  }

  #compare(ours: () => Promise<Run>, theirs: () => Promise<Run>): Promise<Series[]> {
    return inTurns(this.#bench, [this.#bench.ours, this.#skopeo], `registry-push ${this.#image}`, (program) =>
      program === this.#skopeo ? theirs() : ours(),
    );
  }

  /** What earlier pushes left behind would save this one its work. */
  async #intoEmpty(push: () => Promise<Run>): Promise<Run> {
    await this.#server.restart(this.#bench.peers);
    for (const path of [this.#kept, this.#plain]) rmSync(join(path, '.push'), { recursive: true, force: true });
    settle(this.#place.folder, this.#server.folder);
    return push();
  }

  #push(repository: string, ...options: readonly string[]): Promise<Run> {
    return this.#cfsbridge(repository, 'push', '--tls-verify=false', ...options, this.#image, this.#target);
  }

  #cfsbridge(repository: string, ...words: readonly string[]): Promise<Run> {
    const { ours, measure } = this.#bench;
    return measure.run([...ours.command, '--repo', repository, 'oci', ...words]);
  }

  #copy(): Promise<Run> {
    const { skopeo, inside, environment } = this.#server;
    return this.#bench.measure.run([...skopeo, 'copy', '-q', `oci:${inside}/layout:it`, this.#target], environment);
  }

  /** What the layers of the image there take. */
  async #size(): Promise<number> {
    const answer = await fetch(`http://${this.#server.host}/v2/bench/pushed/manifests/1`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    const { layers } = (await answer.json()) as { layers: { size: number }[] };
    return layers.reduce((sum, { size }) => sum + size, 0);
  }
}
