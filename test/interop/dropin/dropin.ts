import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { cfsbridge } from '../../support/cli/run-cli.js';
import { fastFolder } from '../../support/fast-folder.js';
import { cfsctl, type Answer } from '../peers.js';
import { manifestStreams, stateOf, withNicknames } from './state.js';

export interface Asked {
  /** standard input */
  input?: Buffer;
  /** The repository is where `--user` looks for it, and no `--repo` says so. */
  atHome?: boolean;
  /** Changes the copy before the program runs. */
  prepare?: (repository: string) => void;
  /** Collects garbage, by cfsctl in both copies, before the state is read. */
  gc?: boolean;
}

/** What a program said, and what it left behind. */
export interface Outcome extends Answer {
  state: string[];
}

/** Milliseconds */
const LONGEST_RUN = 60_000;

/** A repository that both programs are asked about, each on a copy of its own, at the same path. */
export class Dropin implements Disposable {
  readonly folder = mkdtempSync(join(fastFolder, 'cfsbridge-dropin-'));
  /** where the copies are, one after the other, unless they are at home */
  readonly path = join(this.folder, 'copy');
  readonly #home = join(this.folder, 'home');

  /** @param original the repository; or undefined, and there is none */
  constructor(
    readonly original: string | undefined,
    readonly algorithm: Algorithm = 'sha512',
  ) {}

  /** Asks both programs. `args` without `--repo`. @returns the outcomes: cfsctl's, then ours */
  both(args: readonly string[], asked: Asked = {}): [theirs: Outcome, ours: Outcome] {
    return [this.ask(cfsctl, args, asked), this.ask(cfsbridge, args, asked)];
  }

  ask(program: string, args: readonly string[], { input, atHome = false, prepare, gc = false }: Asked): Outcome {
    const path = atHome ? join(this.#home, '.var/lib/composefs') : this.path;
    mkdirSync(dirname(path), { recursive: true });
    if (this.original !== undefined) cpSync(this.original, path, { recursive: true, verbatimSymlinks: true });
    try {
      prepare?.(path);
      const answer = this.#run(program, [...(atHome ? [] : ['--repo', path]), ...args], input);
      const nicknames = manifestStreams(path, this.algorithm);
      if (gc) assert.equal(this.#run(cfsctl, ['--repo', path, 'gc']).status, 0);
      return { ...answer, stdout: withNicknames(answer.stdout, nicknames), state: stateOf(path, this.algorithm) };
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  }

  #run(program: string, args: readonly string[], input: Buffer = Buffer.alloc(0)): Answer {
    const env = { ...process.env, RUST_BACKTRACE: '0', HOME: this.#home };
    return spawnSync(program, args, { encoding: 'latin1', env, input, maxBuffer: 64 << 20, timeout: LONGEST_RUN });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Fails unless both printed the same, ended the same, and left the same behind. */
export function assertSame(
  [theirs, ours]: readonly [Outcome, Outcome],
  shape: (stdout: string) => unknown = (stdout) => stdout,
): void {
  assert.equal(ours.status, theirs.status, ours.stderr || theirs.stderr);
  assert.deepEqual(shape(ours.stdout), shape(theirs.stdout));
  assert.deepEqual(ours.state, theirs.state);
}
