import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildPeer } from '../test/peers/peers.js';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import type { Place } from './place.js';
import { ourCommand, Program } from './programs.js';
import { inTurns, pullOnce } from './pulls.js';
import type { Row } from './samples.js';
import { Server } from './server.js';
import { withServer } from './socket-pulls.js';

/** Pulls one image, by way of some server or none. */
type Pull = (program: Program, repository: string, image: string) => Promise<Run>;

/**
 * Pulls in process; over varlink out of a repository that holds the image, from our server and from cfsctl's; and over
 * varlink from the store, as containers-storage serves it.
 */
export async function* varlinkPulls(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const source = join(place.folder, 'source');
  const ways = waysToPull(bench, place, source);
  const programs = [...ways.keys()].map((name) => new Program(name, ourCommand, bench.measure));
  for (const image of bench.images) {
    try {
      await bench.ours.init(source);
      await bench.ours.pull(source, place.graphroot, image);
      const series = await inTurns(bench, programs, `varlink ${image}`, async (program) => {
        const pull = ways.get(program.name) as Pull;
        return pullOnce(bench, place, program, image, undefined, (repository) => pull(program, repository, image));
      });
      yield { case: 'varlink', subject: image, series };
    } finally {
      rmSync(source, { recursive: true, force: true });
    }
  }
}

function waysToPull(bench: Bench, { graphroot }: Place, source: string): Map<string, Pull> {
  const socket = join(bench.work, 'socket');
  const fromRepository =
    (command: readonly string[]): Pull =>
    async (program, repository, image) => {
      await using server = await Server.run([...command, '--insecure', 'varlink', '--address', socket], socket);
      return await withServer(server, () =>
        program.pullReference(repository, graphroot, image, image, '--socket', socket, '--from', source),
      );
    };
  const fromStore =
    (peer: string): Pull =>
    async (program, repository, image) => {
      await using server = await Server.run([peer, socket, graphroot, `localhost/${image}:latest`], socket);
      return await withServer(server, () => program.pull(repository, graphroot, image, '--socket', socket));
    };
  const ways = new Map<string, Pull>([
    ['in process', (program, repository, image) => program.pull(repository, graphroot, image)],
    ['from cfsbridge', fromRepository(ourCommand)],
    ['from cfsctl', fromRepository(bench.peer.command)],
  ]);
  const peer = buildPeer('containers-storage');
  if ('program' in peer) ways.set('from containers-storage', fromStore(peer.program));
  else bench.progress(`not from containers-storage: ${peer.missing}`);
  return ways;
}
