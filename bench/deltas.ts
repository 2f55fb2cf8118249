import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { buildTarDiff } from '../test/peers/tar-diff.js';
import type { Bench } from './bench.js';
import { makeDeltaImages } from './delta-images.js';
import type { Run } from './measure.js';
import { settle, Unavailable, type Place } from './place.js';
import { Program } from './programs.js';
import { inTurns, pullOnCopy } from './pulls.js';
import { RegistryServer } from './registry-server.js';
import type { Row, Series } from './samples.js';

const FORMATS = ['2', '1'] as const;
const FOR_REGISTRY = ['--tls-verify=false', '--insecure-policy'];

interface Created {
  manifest_digest: string;
  size: number;
  full_size: number;
}

/**
 * Both programs make an image of a delta and of an image that is there, from a folder and from a registry, and ours
 * pulls the image itself. All have to have the same in their repositories afterwards.
 */
export async function* applyDeltas(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const images = await Images.make(bench, place);
  const delta = join(place.folder, 'delta');
  const created = await images.create(`oci:${delta}`);
  yield await images.compare('folder', created, `oci:${delta}`, [`oci:${images.layout}:new`], {});
  await using server = await RegistryServer.start(bench);
  const name = `docker://${server.host}/bench/app`;
  await images.ours('push', '--tls-verify=false', 'new', `${name}:new`);
  const { manifest_digest } = await images.create(name, '--tls-verify=false');
  const whole = [...FOR_REGISTRY, '--no-delta', `${name}:new`];
  yield await images.compare('registry', created, `${name}@${manifest_digest}`, whole, server.environment);
}

/** The same two images as deltas of ours, and of the Go program that the format comes from, which is run for each layer. */
export async function* createDeltas(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const peer = buildTarDiff(bench.peers);
  if ('missing' in peer) throw new Unavailable(peer.missing);
  const images = await Images.make(bench, place);
  const [old, now] = [images.layersOf('old'), images.layersOf('new')];
  const patches = now.map((_, index) => join(place.folder, `patch-${index}`));
  const script = 'diff=$0; while [ $# -gt 1 ]; do shift; "$diff" -apply-whiteouts $OLD "$1" "$2" || exit; shift; done';
  const theirs = ['sh', '-c', script, peer.diff, '', ...now.flatMap((layer, index) => [layer, patches[index] ?? ''])];
  const tarDiff = new Program('tar-diff', theirs, bench.measure);
  const formats = FORMATS.map((format) => new Program(`format ${format}`, bench.ours.command, bench.measure));
  const sizes = new Map<Program, number>();
  const delta = join(place.folder, 'delta');
  const series = await inTurns(bench, [...formats, tarDiff], 'delta-create', async (program) => {
    rmSync(delta, { recursive: true, force: true });
    settle(place.folder);
    const format = FORMATS[formats.indexOf(program)];
    if (format === undefined) {
      const run = await bench.measure.run(program.command, { OLD: old.join(' ') });
      const size = patches.reduce((sum, path) => sum + statSync(path).size, 0);
      sizes.set(program, size);
      return run;
    }
    const run = await images.ours('create-delta', '--json', '--format', format, 'old', 'new', `oci:${delta}`);
    sizes.set(program, (JSON.parse(run.stdout) as Created).size);
    return run;
  });
  const subject = [...sizes].map(([{ name }, size]) => `${name} ${megabytes(size)}`).join(', ');
  yield { case: 'delta-create', subject, series };
}

/** The two images in a layout, and a repository that has both, or the old one. */
class Images {
  readonly layout: string;
  readonly #both: string;
  readonly #old: string;
  readonly #bench: Bench;
  readonly #place: Place;

  private constructor(bench: Bench, place: Place) {
    this.#bench = bench;
    this.#place = place;
    this.layout = join(place.folder, 'layout');
    this.#both = join(place.folder, 'both');
    this.#old = join(place.folder, 'old');
  }

  static async make(bench: Bench, place: Place): Promise<Images> {
    const images = new Images(bench, place);
    bench.progress('delta: making the images');
    await makeDeltaImages(images.layout);
    for (const [repository, names] of [
      [images.#both, ['old', 'new']],
      [images.#old, ['old']],
    ] as const) {
      await bench.ours.init(repository);
      for (const name of names)
        await images.#run(bench.ours, repository, [
          'pull',
          ...(repository === images.#both ? ['--keep-blobs'] : []),
          `oci:${images.layout}:${name}`,
          name,
        ]);
    }
    return images;
  }

  /** Runs `oci` of our program with the repository that has both. */
  async ours(...words: readonly string[]): Promise<Run> {
    return this.#run(this.#bench.ours, this.#both, words);
  }

  async create(destination: string, ...options: readonly string[]): Promise<Created> {
    const { stdout } = await this.ours('create-delta', '--json', ...options, 'old', 'new', destination);
    return JSON.parse(stdout) as Created;
  }

  /** The blobs of an image's layers. */
  layersOf(name: string): string[] {
    const read = (path: string): unknown => JSON.parse(readFileSync(join(this.layout, path), 'utf8'));
    const pathOf = (digest: string): string => join('blobs', digest.replace(':', '/'));
    const { manifests } = read('index.json') as { manifests: { digest: string; annotations: object }[] };
    const found = manifests.find(({ annotations }) => Object.values(annotations).includes(name));
    const { layers } = read(pathOf(found?.digest ?? '')) as { layers: { digest: string }[] };
    return layers.map(({ digest }) => join(this.layout, pathOf(digest)));
  }

  /** @param whole arguments for a pull of the image itself */
  async compare(
    from: string,
    { size, full_size }: Created,
    delta: string,
    whole: readonly string[],
    environment: Readonly<Record<string, string>>,
  ): Promise<Row> {
    const { ours, peer, measure } = this.#bench;
    const wholeImage = new Program('the image itself', ours.command, measure);
    const series = await inTurns(this.#bench, [ours, peer, wholeImage], `delta from a ${from}`, (program) => {
      const options = program === ours && environment['PATH'] !== undefined ? FOR_REGISTRY : [];
      const words = program === wholeImage ? whole : [...options, delta];
      return pullOnCopy(this.#bench, this.#place, program, this.#old, 'delta', (repository) =>
        this.#run(program, repository, ['pull', ...words, 'new'], environment),
      );
    });
    return {
      case: 'delta',
      subject: `${from}, ${megabytes(size)} instead of ${megabytes(full_size)}`,
      series: plain(series),
    };
  }

  #run(
    program: Program,
    repository: string,
    words: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Run> {
    return this.#bench.measure.run([...program.command, '--repo', repository, 'oci', ...words], environment);
  }
}

/** Whatever they say of how files came, all of them come as bytes. */
function plain(series: Series[]): Series[] {
  for (const one of series) delete one.method;
  return series;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}
