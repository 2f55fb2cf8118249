// Making images beside C mkcomposefs and cfsctl (as mkcomposefs): a dumpfile of 40,000 entries and a folder of 40,000 files.
//
//     node dist/bench/erofs.js
//
// The programs take turns, so that all of them meet the same machine. C runs in the Debian tree that scripts/peers.sh makes
// ($CFSBRIDGE_PEERS, default /var/tmp/peers; needs root), entering it is part of its time.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { table } from '../src/cli/table.js';
import { parseDump } from '../src/erofs/dumpfile-parse.js';
import { writeErofs } from '../src/erofs/writer.js';

const RUNS = 9;
const ENTRIES = 40_000;
const PER_FOLDER = 40;
const root = fileURLToPath(new URL('../../', import.meta.url));
const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';

/** One way to make an image; `seconds` measures a run. */
interface Contender {
  name: string;
  seconds: () => { seconds: number; kilobytes?: number };
}

/** A command as it would be typed, with the memory it needed. `measure` is GNU time or nothing. */
function command(name: string, program: string, args: string[]): Contender {
  return {
    name,
    seconds: () => {
      const start = process.hrtime.bigint();
      const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
      const seconds = Number(process.hrtime.bigint() - start) / 1e9;
      if (status !== 0) throw new Error(`${name}: ${stderr}`);
      const kilobytes = /^(\d+)kB$/m.exec(stderr);
      return kilobytes === null ? { seconds } : { seconds, kilobytes: Number(kilobytes[1]) };
    },
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function compare(title: string, contenders: readonly Contender[]): void {
  const seconds = contenders.map((): number[] => []);
  const kilobytes = contenders.map((): number[] => []);
  for (let run = 0; run < RUNS; run += 1) {
    contenders.forEach((contender, index) => {
      const result = contender.seconds();
      seconds[index]!.push(result.seconds);
      if (result.kilobytes !== undefined) kilobytes[index]!.push(result.kilobytes);
    });
  }
  const base = median(seconds[0]!);
  const rows = contenders.map(({ name }, index) => {
    const time = median(seconds[index]!);
    const memory = kilobytes[index]!.length > 0 ? `${Math.round(median(kilobytes[index]!) / 1024)} MiB` : '';
    return [name, `${Math.round(time * 1000)} ms`, (time / base).toFixed(2), memory];
  });
  console.log(`\n${title}\n${table(['PROGRAM', 'MEDIAN', 'RATIO', 'MEMORY'], rows)}`);
}

function makeDump(): string {
  const label = (type: string): string => ` security.selinux=system_u:object_r:${type}:s0\\x00`;
  const lines = [`/ 0 40755 2 0 0 0 1700000000.0 - - -${label('root_t')}`];
  for (let folder = 0; lines.length < ENTRIES; folder += 1) {
    const path = `/dir${String(folder).padStart(4, '0')}`;
    lines.push(`${path} 0 40755 2 0 0 0 ${1700000000 + folder}.0 - - -${label('usr_t')}`);
    for (let file = 0; file < PER_FOLDER && lines.length < ENTRIES; file += 1) {
      const time = `${1700000000 + ((folder * 7 + file) % 1000)}.0`;
      if (file % 10 === 0) lines.push(`${path}/link${file} 12 120777 1 0 0 0 ${time} ../target${file} - -${label('lib_t')}`);
      else if (file % 10 < 3) lines.push(`${path}/small-${file}.conf 20 100644 1 0 0 0 ${time} - ${'x'.repeat(20)} -${label('etc_t')}`);
      else {
        const id = createHash('sha256').update(`${folder}:${file}`).digest('hex');
        lines.push(`${path}/file-${file}.so ${1000 + file * 977} 100755 1 0 0 0 ${time} ${id.slice(0, 2)}/${id.slice(2)} - ${id}${label('lib_t')}`);
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

function makeFolder(path: string): void {
  const content = Buffer.alloc(64 << 10, 'some content that is not all the same ');
  for (let file = 0; file < ENTRIES; file += 1) {
    const folder = join(path, `dir${Math.floor(file / PER_FOLDER)}`);
    if (file % PER_FOLDER === 0) mkdirSync(folder, { recursive: true });
    content.writeUInt32LE(file, 0);
    // Like a Linux system: mostly a few KiB, some tiny, a few large.
    writeFileSync(join(folder, `file${file}`), content.subarray(0, [40, 700, 2500, 4000, 9000, 64 << 10][(file * 7) % 6]!));
  }
}

function main(folder: string): void {
  const [dump, tree, image] = ['tree.dump', 'tree', 'image'].map((name) => join(folder, name)) as [string, string, string];
  const inside = (path: string): string => path.replace(folder, `/share/${basename(folder)}`);
  writeFileSync(dump, makeDump());
  makeFolder(tree);
  const timed = existsSync('/usr/bin/time') ? ['/usr/bin/time', '-f', '%MkB'] : [];
  const run = (name: string, program: string[], args: string[]): Contender => {
    const [first, ...rest] = [...timed, ...program, ...args];
    return command(name, first!, rest);
  };
  const ours = [join(root, 'bin/mkcomposefs')];
  const c = [join(root, 'scripts/in-peers.sh'), 'mkcomposefs'];
  const rust = [join(peers, 'bin/mkcomposefs')];
  const pair = (args: string[], from: string): Contender[] => [
    run('mkcomposefs (C)', c, [...args, inside(from), inside(image)]),
    run('mkcomposefs (cfsctl)', rust, [...args, from, image]),
    run('mkcomposefs (cfsbridge)', ours, [...args, from, image]),
  ];
  const text = readFileSync(dump);
  const inProcess: Contender = {
    name: 'cfsbridge without start-up',
    seconds: () => {
      const start = process.hrtime.bigint();
      writeErofs(parseDump(text), { version: 0, algorithm: 'sha256', peer: 'composefs' });
      return { seconds: Number(process.hrtime.bigint() - start) / 1e9 };
    },
  };
  const node = run('node -e 0', [process.execPath], ['-e', '0']);
  console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} CPUs, median of ${RUNS} runs`);
  compare(`a dumpfile of ${ENTRIES} entries`, [...pair(['--from-file'], dump), inProcess, node]);
  compare(`a folder of ${ENTRIES} files`, pair([], tree));
}

execFileSync(join(root, 'scripts/in-peers.sh'), ['true']);
const work = mkdtempSync(join(peers, 'share/bench-erofs-'));
try {
  main(work);
} finally {
  rmSync(work, { recursive: true });
}
