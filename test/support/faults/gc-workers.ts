import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { imageFsckText } from '../../../src/cli/reports/fsck.js';
import { fsckImages } from '../../../src/oci/repair/fsck.js';
import { Repository } from '../../../src/repository/repository.js';
import { listTags } from '../../../src/repository/tags.js';

const program = fileURLToPath(new URL('gc.program.js', import.meta.url));

/** What tags have to be there, going by what workers said. Each worker has tags of its own. */
export class TagLedger {
  /** What a tag may be: digests, and `''` for not there. Two while it is being changed. */
  readonly #tags = new Map<string, Set<string>>();
  readonly done = { tag: 0, copy: 0, untag: 0, gc: 0, removed: 0, failed: new Map<string, number>() };

  take(line: string): void {
    const [what = '', tag = '', digest = ''] = line.split(' ');
    if (what === 'begin') this.#tags.set(tag, this.#allowed(tag).add('?'));
    else if (what === 'tag' || what === 'untag') {
      this.#tags.set(tag, new Set([digest]));
      this.done[what]++;
    } else if (what === 'copied') this.done.copy++;
    else if (what === 'gc') {
      this.done.gc++;
      this.done.removed += Number(tag);
    } else if (what === 'failed') this.done.failed.set(tag, (this.done.failed.get(tag) ?? 0) + 1);
  }

  /** Fails unless the repository's tags are those that were reported as written, and no others. */
  check(repository: Repository): void {
    const present = new Map(listTags(repository).map(({ name, manifestDigest }) => [name, manifestDigest]));
    for (const tag of new Set([...this.#tags.keys(), ...present.keys()])) {
      const found = present.get(tag) ?? '';
      const allowed = this.#allowed(tag);
      assert.ok(
        allowed.has(found) || allowed.has('?'),
        `tag ${tag} is "${found}" and not one of "${[...allowed].join('", "')}"`,
      );
      // What was being changed is known again from here on.
      this.#tags.set(tag, new Set([found]));
    }
  }

  #allowed(tag: string): Set<string> {
    return this.#tags.get(tag) ?? new Set(['']);
  }
}

/** The repository beside one that workers copy from into it. */
export const copySource = (path: string): string => `${path}-source`;

/** A process that works on a repository at random until it is killed. */
export class Worker {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly ready: Promise<unknown>;
  errors = '';

  constructor(path: string, graphroot: string, slot: string, seed: number, work: string, ledger: TagLedger) {
    this.#child = spawn(process.execPath, [program, path, graphroot, slot, String(seed), work], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines = createInterface(this.#child.stdout!);
    this.ready = Promise.race([once(lines, 'line'), once(this.#child, 'exit')]);
    lines.on('line', (line) => ledger.take(line));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    // All that it said has been read when its outputs are closed.
    this.#ended = Promise.all([once(this.#child, 'close'), once(lines, 'close')]);
  }

  async kill(): Promise<void> {
    assert.equal(this.#child.exitCode, null, this.errors);
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** Checks tags and the whole repository, with our fsck. */
export async function assertNothingLost(path: string, ledger: TagLedger): Promise<void> {
  using repository = await Repository.open(path);
  ledger.check(repository);
  const report = await fsckImages(repository, undefined);
  assert.match(imageFsckText(report), /^status: ok$/m, imageFsckText(report));
}
