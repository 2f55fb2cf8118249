import { describe, before, after, test } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { fastFolder } from '../../support/fast-folder.js';
import { cfsctl, succeed, whyNoPeers } from '../peers.js';
import { assertSame, Dropin, type Asked } from './dropin.js';
import { makeExample, type Example } from './example.js';

/** What the programs are asked about: see `makeExample`; a new repository; or none at all. */
export type Subject = 'example' | 'empty' | 'missing';

export interface Case extends Omit<Asked, 'input'> {
  /** Words between spaces; `''` is an empty one, `$name` one of `variables`. */
  line: string;
  on?: Subject;
  /** standard input: a text, or the tar of one of the example's layers */
  input?: { text: string } | { layer: 'base' | 'first' };
  /**
   * The order of lines is that of the directory, or none; commas between the elements of a list are no matter either.
   */
  unordered?: boolean;
  /**
   * `verity` of a pull is not compared. Of an OCI folder cfsctl prints the digest of a manifest's stream that it
   * replaces before it ends, see repository.md.
   */
  withoutVerity?: boolean;
}

/** Values for the words of a case. */
function variables(example: Example, dropin: Dropin): Record<string, string> {
  const { manifests, configs, diffIds, image, rootfs, layout } = example;
  return {
    path: dropin.path,
    image,
    rootfs,
    none: join(dropin.folder, 'none'),
    layout: layout.path,
    other: example.other,
    first: manifests.first,
    second: manifests.second,
    artifact: manifests.artifact,
    config: configs.first,
    base: diffIds[0] ?? '',
    app: diffIds[1] ?? '',
    zeros: `sha256:${'0'.repeat(64)}`,
    empty: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  };
}

function wordsOf(line: string, values: Readonly<Record<string, string>>): string[] {
  return line.split(' ').map((word) =>
    word === "''"
      ? ''
      : word.replace(/\$(\w+)/g, (_, name: string) => {
          const value = values[name];
          if (value === undefined) throw new Error(`no variable ${name}`);
          return value;
        }),
  );
}

/** The subjects, made by cfsctl, and something to ask about each. */
export class Subjects implements Disposable {
  readonly #folder = mkdtempSync(join(fastFolder, 'cfsbridge-subjects-'));
  readonly example: Example;
  readonly #dropins: Record<Subject, Dropin>;

  constructor(algorithm: Algorithm) {
    this.example = makeExample(this.#folder, algorithm);
    const empty = join(this.#folder, 'empty');
    succeed(cfsctl, ['--repo', empty, 'init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`]);
    this.#dropins = {
      example: new Dropin(this.example.path, algorithm),
      empty: new Dropin(empty, algorithm),
      missing: new Dropin(undefined, algorithm),
    };
  }

  /** Asks both programs. */
  ask({ line, on = 'example', input, ...asked }: Case): ReturnType<Dropin['both']> {
    const dropin = this.#dropins[on];
    const bytes =
      input === undefined ? undefined : 'text' in input ? Buffer.from(input.text) : this.example.layers[input.layer];
    return dropin.both(wordsOf(line, variables(this.example, dropin)), { ...asked, ...(bytes && { input: bytes }) });
  }

  [Symbol.dispose](): void {
    for (const dropin of Object.values(this.#dropins)) dropin[Symbol.dispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

/** Makes a test of each case. */
export function testCases(title: string, cases: readonly (Case | string)[], algorithm: Algorithm = 'sha512'): void {
  describe(`${title}, ${algorithm}`, { skip: whyNoPeers() }, () => {
    let subjects: Subjects;
    before(() => void (subjects = new Subjects(algorithm)));
    after(() => subjects[Symbol.dispose]());
    for (const one of cases.map(asCase))
      test(`${one.on ?? 'example'}: ${one.line}`, () => {
        assertSame(subjects.ask(one), (stdout) => shapeOf(one, stdout));
      });
  });
}

export const asCase = (one: Case | string): Case => (typeof one === 'string' ? { line: one } : one);

function shapeOf({ unordered = false, withoutVerity = false }: Case, stdout: string): string[] {
  const lines = stdout.split('\n').filter((line) => !(withoutVerity && line.startsWith('verity ')));
  return unordered ? lines.map((line) => line.replace(/,$/, '')).sort() : lines;
}

/** The same question to one subject after the other. */
export const onEach = (subjects: readonly Subject[], ...lines: string[]): Case[] =>
  subjects.flatMap((on) => lines.map((line) => ({ line, on })));
