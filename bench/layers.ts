import { createHash } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Bench } from './bench.js';
import { settle, type Place } from './place.js';
import { contentsOf, type Program } from './programs.js';
import { inTurns } from './pulls.js';
import type { Row } from './samples.js';

/**
 * Both programs write the largest layer of an image as its tar, from the same repository. A wrong tar fails the case.
 */
export async function* compareLayers(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  for (const image of bench.images.filter((name) => name === 'base' || name === 'big')) {
    const repository = join(place.folder, 'repository');
    const tar = join(place.folder, 'tar');
    try {
      await bench.ours.init(repository);
      await bench.ours.pull(repository, place.graphroot, image);
      const { diffId, size } = await largestLayer(bench.ours, repository);
      for (const [where, script] of [
        ['to a file', 'exec "$0" "$@" > "$TAR"'],
        ['to a pipe', '"$0" "$@" | cat > /dev/null'],
      ] as const) {
        const series = await inTurns(bench, [bench.ours, bench.peer], `layer ${image} ${where}`, async (program) => {
          rmSync(tar, { force: true });
          settle(place.folder);
          const run = await program.layer(repository, diffId, script, tar);
          if (where === 'to a file') await check(tar, diffId, program);
          return run;
        });
        yield { case: 'layer', subject: `${image}, ${(size / 1e6).toFixed(0)} MB ${where}`, series };
      }
    } finally {
      rmSync(tar, { force: true });
      rmSync(repository, { recursive: true, force: true });
    }
  }
}

async function largestLayer(program: Program, repository: string): Promise<{ diffId: string; size: number }> {
  const names = contentsOf(repository).flatMap((line) => /^streams\/oci-layer-(\S+)/.exec(line)?.[1] ?? []);
  const layers = await Promise.all(names.map((diffId) => program.describeLayer(repository, diffId)));
  return layers.sort((a, b) => b.size - a.size)[0] as { diffId: string; size: number };
}

async function check(tar: string, diffId: string, { name }: Program): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(tar), hash);
  if (`sha256:${hash.digest('hex')}` !== diffId) throw new Error(`${name} wrote another tar than that of ${diffId}`);
}
