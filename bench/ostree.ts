import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requestsTo, startNginx } from '../test/interop/nginx.js';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import { FIRST, MODES, OstreeCommits, SECOND } from './ostree-commits.js';
import type { Place } from './place.js';
import { Program } from './programs.js';
import { inTurns, pullOnCopy } from './pulls.js';
import type { Row } from './samples.js';

const READER = fileURLToPath(new URL('read-urls.program.js', import.meta.url));
const NEW = '1 % of the files new';

/** Commits in repositories on this machine, of each mode, an update of the first, and the same by a delta in a file. */
export async function* ostreeLocal(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  using commits = new OstreeCommits(bench);
  const pulls = await Pulls.make(bench, place);
  const repositories = new Map(MODES.map((mode) => [mode, beside(place, commits.commit(bench, mode, mode))]));
  for (const [mode, repository] of repositories)
    yield await pulls.compare('ostree', mode, pulls.empty, ['pull-local', repository, FIRST]);
  const archive = repositories.get('archive')!;
  await pulls.bringFirst(archive);
  const update = ['pull-local', archive, SECOND];
  yield await pulls.compare('ostree', `${NEW}, archive`, pulls.first, update);
  yield await pulls.compare('ostree', `${NEW}, delta`, pulls.first, ['apply-delta', commits.delta]);
}

/** Commits from nginx, beside a program that does nothing but read what was asked for. */
export async function* ostreeHttp(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  using commits = new OstreeCommits(bench);
  const pulls = await Pulls.make(bench, place);
  const archive = commits.commit(bench, 'repo', 'archive');
  await pulls.bringFirst(archive);
  const ends: (() => unknown)[] = [];
  try {
    const url = await startNginx({ after: (end) => void ends.push(end as () => unknown) }, commits.folder);
    const requests = (): string[] => requestsTo(commits.folder);
    const objects = ['pull', '--no-delta', url];
    yield await pulls.compare('ostree-http', 'all', pulls.empty, [...objects, FIRST], { url, requests });
    yield await pulls.compare('ostree-http', NEW, pulls.first, [...objects, SECOND], { url, requests });
    yield await pulls.compare('ostree-http', `${NEW}, delta`, pulls.first, ['pull', url, SECOND], { url, requests });
  } finally {
    for (const end of ends) await end();
  }
}

/** A copy on the file system that is pulled into: files can be shared on one only. */
function beside({ folder }: Place, repository: string): string {
  const copy = join(folder, basename(repository));
  execFileSync('cp', ['-a', repository, copy]);
  rmSync(repository, { recursive: true });
  return copy;
}

/** What serves, and what it is asked for. */
interface Origin {
  url: string;
  /** paths of all requests so far */
  requests(): string[];
}

/** Pulls into copies of repositories. */
class Pulls {
  readonly #bench: Bench;
  readonly #place: Place;
  readonly #reader: Program;
  readonly empty: string;
  /** has the first commit, once `bringFirst` was called */
  readonly first: string;

  private constructor(bench: Bench, place: Place) {
    this.#bench = bench;
    this.#place = place;
    this.#reader = new Program('plain reader', [process.execPath, READER], bench.measure);
    this.empty = join(place.folder, 'empty');
    this.first = join(place.folder, 'first');
  }

  static async make(bench: Bench, place: Place): Promise<Pulls> {
    const pulls = new Pulls(bench, place);
    for (const repository of [pulls.empty, pulls.first]) await bench.ours.init(repository);
    return pulls;
  }

  /** Not over HTTP, so that neither program knows the summary already. */
  async bringFirst(archive: string): Promise<void> {
    await this.#run(this.#bench.ours, this.first, ['pull-local', archive, FIRST]);
  }

  /**
   * Measures a command of both programs.
   * @param base which every run gets a copy of
   * @param words of the command, after `ostree`
   * @param origin the plain reader reads from it what ours has asked it for
   */
  async compare(name: string, subject: string, base: string, words: readonly string[], origin?: Origin): Promise<Row> {
    const { ours, peer } = this.#bench;
    let asked: string[] = [];
    const counted = async (program: Program, run: () => Promise<Run>): Promise<Run> => {
      const before = origin?.requests().length ?? 0;
      const done = await run();
      if (origin === undefined) return done;
      const paths = origin.requests().slice(before);
      if (program === ours) asked = paths;
      return { ...done, sample: { ...done.sample, requests: paths.length } };
    };
    const programs = origin === undefined ? [ours, peer] : [ours, peer, this.#reader];
    const series = await inTurns(this.#bench, programs, `${name} ${subject}`, (program) =>
      counted(program, () =>
        program === this.#reader
          ? this.#read(asked.map((path) => new URL(path, origin?.url).href))
          : pullOnCopy(this.#bench, this.#place, program, base, `ostree ${subject}`, (repository) =>
              this.#run(program, repository, words),
            ),
      ),
    );
    return { case: name, subject, series };
  }

  #read(urls: readonly string[]): Promise<Run> {
    const list = join(this.#place.folder, 'urls');
    writeFileSync(list, urls.join('\n'));
    return this.#bench.measure.run([...this.#reader.command, list]);
  }

  #run(program: Program, repository: string, words: readonly string[]): Promise<Run> {
    return this.#bench.measure.run([...program.command, '--repo', repository, 'ostree', ...words]);
  }
}
