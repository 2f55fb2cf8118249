// Image proxies: how soon they answer, and how fast they give the largest layer of an image.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StartedProxy } from '../test/support/servers/started-proxy.js';
import type { Bench } from './bench.js';
import { canMount } from './own-mounts.js';
import { Unavailable, type Place } from './place.js';
import { ourCommand } from './programs.js';
import type { Row, Sample, Series } from './samples.js';

const IN_PEERS = fileURLToPath(new URL('../../scripts/in-peers.sh', import.meta.url));
const PROXY = ['--insecure-policy', 'experimental-image-proxy'];
const TICK = 100;

/** Who is asked, and for what. */
interface Contender {
  program: string;
  command: readonly string[];
  reference: string;
}

interface Times {
  start: Sample;
  firstByte: Sample;
  whole: Sample;
  size: number;
}

/** @throws Unavailable without root or skopeo, or where skopeo does not see the store */
export async function* imageProxies(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const tree = join(bench.peers, 'sid');
  const shared = join(bench.peers, 'share');
  if (!canMount() || !existsSync(join(tree, 'usr/bin/skopeo')) || !bench.store.startsWith(`${shared}/`))
    throw new Unavailable('skopeo needs root and scripts/peers.sh, and a store that both see');
  execFileSync(IN_PEERS, ['true'], { env: { ...process.env, CFSBRIDGE_PEERS: bench.peers } });
  const run = mkdtempSync(join(shared, 'bench-proxy-'));
  const inside = (path: string): string => path.replace(shared, '/share');
  const skopeo = ['chroot', tree, 'skopeo', ...PROXY];
  const ours = [...ourCommand, ...PROXY];
  try {
    let started: Map<string, Sample[]> | undefined;
    for (const image of bench.images) {
      const repository = join(place.folder, `proxied-${image}`);
      await bench.ours.init(repository);
      await bench.ours.pull(repository, place.graphroot, image);
      const stored = (root: string, runroot: string): string =>
        `containers-storage:[overlay@${root}+${runroot}]localhost/${image}`;
      const contenders: Contender[] = [
        { program: 'cfsbridge', command: ours, reference: stored(bench.store, run) },
        { program: 'cfsbridge, repository', command: ours, reference: `composefs:${repository}:${image}` },
        { program: 'skopeo', command: skopeo, reference: stored(inside(bench.store), inside(run)) },
      ];
      const times = new Map<string, Times[]>();
      for (let turn = 0; turn <= bench.repetitions; turn++)
        for (const contender of contenders) {
          bench.progress(`image-proxy ${image}: ${contender.program}, ${turn} of ${bench.repetitions}`);
          const taken = await ask(contender);
          if (turn > 0) times.set(contender.program, [...(times.get(contender.program) ?? []), taken]);
        }
      const series = (pick: (taken: Times) => Sample): Series[] =>
        contenders.map(({ program }) => ({ program, samples: (times.get(program) ?? []).map(pick) }));
      started ??= new Map(series(({ start }) => start).map(({ program, samples }) => [program, samples]));
      const megabytes = ((times.values().next().value?.[0]?.size ?? 0) / 1e6).toFixed(0);
      yield {
        case: 'image-proxy',
        subject: `${image}, first byte of a layer`,
        series: series((taken) => taken.firstByte),
      };
      yield {
        case: 'image-proxy',
        subject: `${image}, all ${megabytes} MB of it`,
        series: series((taken) => taken.whole),
      };
      rmSync(repository, { recursive: true, force: true });
    }
    yield {
      case: 'image-proxy',
      subject: 'start, until Initialize is answered',
      series: [...(started ?? [])].map(([program, samples]) => ({ program, samples })),
    };
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
}

/** One process and one blob: the largest of the image. */
async function ask({ command, reference }: Contender): Promise<Times> {
  const begun = performance.now();
  await using proxy = new StartedProxy(command);
  await proxy.call('Initialize');
  const start = { wall: since(begun), ...usageOf(proxy) };
  const { value: id } = await proxy.call('OpenImage', reference);
  const { value } = await proxy.call('GetLayerInfo', id);
  const layers = value as { digest: string; size: number }[];
  const { digest, size } = layers.reduce((largest, layer) => (layer.size > largest.size ? layer : largest));
  const before = usageOf(proxy);
  const asked = performance.now();
  const { reply, fds } = await proxy.open('GetBlob', id, digest, size);
  const [fd] = fds;
  if (fd === undefined) throw new Error(`${command.join(' ')}: ${reply.error}`);
  readSync(fd.number, Buffer.alloc(1));
  const first = usageOf(proxy);
  const firstByte = { wall: since(asked), cpu: first.cpu - before.cpu, peak: first.peak };
  // What reads must not be what is measured.
  const reader = spawn('cat', { stdio: [fd.number, 'ignore', 'ignore'] });
  const read = once(reader, 'close');
  fd.close();
  const finished = await proxy.call('FinishPipe', reply.pipeid);
  if (!finished.success) throw new Error(`${command.join(' ')}: ${finished.error}`);
  const after = usageOf(proxy);
  const whole = { wall: since(asked), cpu: after.cpu - before.cpu, peak: after.peak };
  await read;
  return { start, firstByte, whole, size };
}

const since = (begun: number): number => (performance.now() - begun) / 1e3;

/** What the process has used so far: seconds, and bytes at the most. */
function usageOf({ child }: StartedProxy): { cpu: number; peak: number } {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1')) ?? [];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / TICK, peak: Number(kilobytes) * 1024 };
}
