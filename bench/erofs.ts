import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDump } from '../src/erofs/dumpfile/parse.js';
import { writeErofs } from '../src/erofs/write/writer.js';
import type { Bench } from './bench.js';
import { ENTRIES, makeDump, makeFolder } from './erofs-sources.js';
import type { Run } from './measure.js';
import { canMount } from './own-mounts.js';
import { Unavailable } from './place.js';
import { OURS, PEER, Program } from './programs.js';
import { inTurns } from './pulls.js';
import type { Row } from './samples.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const SOURCES = { dump: 'tree.dump', folder: 'tree' } as const;
const IMAGE = 'image';

/**
 * mkcomposefs of cfsbridge, cfsctl and composefs itself, by turns. All have to make the same image.
 * @throws Unavailable without the C program, which runs in the Debian tree of scripts/peers.sh
 */
export async function* makeImages(bench: Bench): AsyncGenerator<Row, void> {
  const debian = join(bench.peers, 'sid');
  if (!canMount() || !existsSync(join(debian, 'usr/bin/mkcomposefs')))
    throw new Unavailable('mkcomposefs of C needs root and scripts/peers.sh');
  execFileSync(join(root, 'scripts/in-peers.sh'), ['true']);
  // The Debian tree sees no other folder.
  const folder = mkdtempSync(join(bench.peers, 'share/bench-erofs-'));
  try {
    bench.progress('making a dumpfile and a folder');
    writeFileSync(join(folder, SOURCES.dump), makeDump());
    makeFolder(join(folder, SOURCES.folder));
    const makers = {
      ours: new Program(OURS, [join(root, 'bin/mkcomposefs')], bench.measure),
      rust: new Program(PEER, [join(bench.peers, 'bin/mkcomposefs')], bench.measure),
      c: new Program('C', ['chroot', debian, 'mkcomposefs'], bench.measure),
    };
    const make = async (maker: Program, options: readonly string[], source: string): Promise<Run> => {
      const place = maker === makers.c ? `/share/${basename(folder)}` : folder;
      return bench.measure.run([...maker.command, ...options, join(place, source), join(place, IMAGE)]);
    };
    yield* fromDump(bench, makers, folder, (maker) => make(maker, ['--from-file'], SOURCES.dump));
    const check = sameImage(folder);
    const series = await inTurns(bench, Object.values(makers), 'image of a folder', async (maker) =>
      check(maker, await make(maker, [], SOURCES.folder)),
    );
    yield { case: 'erofs', subject: `folder of ${ENTRIES} files`, series };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function* fromDump(
  bench: Bench,
  makers: Record<'ours' | 'rust' | 'c', Program>,
  folder: string,
  make: (maker: Program) => Promise<Run>,
): AsyncGenerator<Row, void> {
  // In this process, which has made such images before.
  const warm = new Program(OURS, [], bench.measure);
  const text = readFileSync(join(folder, SOURCES.dump));
  const check = sameImage(folder);
  const series = await inTurns(bench, [...Object.values(makers), warm], 'image of a dumpfile', async (maker) =>
    check(maker, maker === warm ? makeHere(text, join(folder, IMAGE)) : await make(maker)),
  );
  const [ours, rust, c, here] = series as [Row['series'][0], Row['series'][0], Row['series'][0], Row['series'][0]];
  yield { case: 'erofs', subject: `dumpfile of ${ENTRIES} entries`, series: [ours, rust, c] };
  yield { case: 'erofs', subject: 'the same, cfsbridge warmed up', series: [here, rust, c] };
}

function makeHere(text: Buffer, image: string): Run {
  const [start, cpu] = [process.hrtime.bigint(), process.cpuUsage()];
  writeFileSync(image, writeErofs(parseDump(text), { version: 0, algorithm: 'sha256', writer: 'composefs' }));
  const { user, system } = process.cpuUsage(cpu);
  return { sample: { wall: Number(process.hrtime.bigint() - start) / 1e9, cpu: (user + system) / 1e6 }, stdout: '' };
}

/** Compares every image with the first one. */
function sameImage(folder: string): (maker: Program, run: Run) => Run {
  let first: Buffer | undefined;
  return (maker, run) => {
    const image = readFileSync(join(folder, IMAGE));
    first ??= image;
    if (!image.equals(first)) throw new Error(`the image of ${maker.name} is another one than that of ${OURS}`);
    return run;
  };
}
