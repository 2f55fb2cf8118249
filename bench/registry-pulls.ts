import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import { settle, type Place } from './place.js';
import { Program } from './programs.js';
import { inTurns, pullOnce } from './pulls.js';
import { RegistryServer } from './registry-server.js';
import type { Row } from './samples.js';

export const FORMATS = ['gzip', 'zstd'] as const;
/** How many of the runs an image gets: the large ones take long, and differ little. */
const RUNS: Readonly<Record<string, number>> = { base: 1, many: 0.6, big: 0.4 };

/** The images that a registry gets, each with how often it is measured. */
export function measuredImages(bench: Bench): { image: string; bench: Bench; subject: string }[] {
  return bench.images.flatMap((image) => {
    const share = RUNS[image];
    if (share === undefined) return [];
    const repetitions = Math.ceil(bench.repetitions * share);
    const subject = repetitions === bench.repetitions ? image : `${image} (${repetitions} runs)`;
    return [{ image, bench: { ...bench, repetitions }, subject }];
  });
}

/** Pulls from docker's registry on this machine: ours, cfsctl's, which has skopeo fetch, and skopeo's own to a store. */
export async function* registryPulls(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  await using server = await RegistryServer.start(bench);
  const skopeo = new Program('skopeo', server.skopeo, bench.measure);
  for (const { image, bench: own, subject } of measuredImages(bench))
    for (const format of FORMATS) {
      bench.progress(`registry: pushing ${image} as ${format}`);
      const reference = `docker://${server.host}/bench/${image}:${format}`;
      await pushStored(bench, server, image, ['--dest-compress-format', format, '--format', 'oci'], reference);
      const series = await inTurns(own, [bench.ours, bench.peer, skopeo], `registry ${image} ${format}`, (program) =>
        program === skopeo
          ? copyOnce(bench, server, reference)
          : pullOnce(bench, place, program, `${image} as ${format}`, undefined, (repository) =>
              bench.measure.run(
                [
                  ...program.command,
                  '--repo',
                  repository,
                  'oci',
                  'pull',
                  ...(program === bench.ours ? ['--tls-verify=false', '--insecure-policy'] : []),
                  reference,
                  image,
                ],
                server.environment,
              ),
            ),
      );
      // Whatever they say of how files came, all of them come as bytes.
      for (const one of series) delete one.method;
      yield { case: 'registry', subject: `${subject}, ${format}`, series };
    }
}

/** skopeo sends an image of the store somewhere. */
export async function pushStored(
  bench: Bench,
  server: RegistryServer,
  image: string,
  options: readonly string[],
  to: string,
): Promise<Run> {
  const store = `/share/${bench.store.slice(join(bench.peers, 'share/').length)}`;
  return bench.measure.run(
    [...server.skopeo, 'copy', '-q', ...options, server.stored(store, image), to],
    server.environment,
  );
}

/** skopeo unpacks an image into a new store. */
async function copyOnce(bench: Bench, server: RegistryServer, reference: string): Promise<Run> {
  const store = join(server.folder, 'store');
  try {
    settle(server.folder);
    const to = server.stored(`${server.inside}/store`, 'copy');
    return await bench.measure.run([...server.skopeo, 'copy', '-q', reference, to], server.environment);
  } finally {
    // The driver mounts its folder on itself and leaves it so.
    execFileSync('sh', [
      '-c',
      'umount -l "$0" 2>/dev/null || true',
      join(bench.peers, 'sid', server.inside, 'store/overlay'),
    ]);
    rmSync(store, { recursive: true, force: true });
    settle(server.folder);
  }
}
