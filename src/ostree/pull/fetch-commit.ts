import { setMaxListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { DigestTable } from '../../fsverity/digest-table.js';
import { commitContentId } from '../../repository/names.js';
import { inPlace } from '../in-place.js';
import { parseCommit } from '../object/commit.js';
import { ID_SIZE, type Checksum } from '../object/checksum.js';
import { parseDirMeta } from '../object/dirmeta.js';
import { parseDirTree } from '../object/dirtree.js';
import { KnownTrees } from '../object/known-trees.js';
import type { ObjectKind } from '../object/kind.js';
import { selected, type Selection } from '../selection.js';
import type { Bases } from './bases.js';
import type { CommitImporter } from './importer.js';
import { measured } from './measured-source.js';
import { objectOf, placeOf } from './place-of.js';
import type { MetadataKind, ObjectSource } from './source.js';

/** How many objects a pull was about, without those of the commits that it was based on. */
export interface ObjectCounts {
  /** commits, dirtrees and dirmetas */
  metadata: number;
  files: number;
  /** of them, how many were in other commits of the repository and did not have to be fetched */
  reused: number;
}

/** How far a pull is. */
export interface FetchProgress extends Readonly<ObjectCounts> {
  /** files that are known by now and not there yet */
  readonly filesLeft: number;
  /** what came of objects so far, without compression */
  readonly bytes: number;
}

export type OnProgress = (progress: FetchProgress) => void;

interface FetchOptions {
  /** what of the commit's tree is wanted */
  selection: Selection;
  /** gets the dirtrees that were read */
  trees?: KnownTrees | undefined;
  signal: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
  /**
   * is told why an object could not be had, and says whether to go on without it; the commit itself has to be had.
   * Default: no
   */
  onLost?: ((error: unknown) => boolean) | undefined;
}

/**
 * Brings all objects of a commit that are wanted into the importer: from the bases where these have them, else from
 * the source. What the importer has already is only walked. Metadata goes first, since it tells what else there is.
 * @throws what the source, the importer and the parsers of objects throw, when everything that was begun has ended
 */
export async function fetchCommit(
  importer: CommitImporter,
  commit: Checksum,
  source: ObjectSource,
  bases: Bases,
  { selection, trees = new KnownTrees(), signal, onProgress, onLost }: FetchOptions,
): Promise<ObjectCounts> {
  let bytes = 0;
  const report = (): void => {
    const { metadata, files, reused } = walk.counts;
    onProgress?.({ metadata, files, reused, filesLeft: walk.filesLeft, bytes });
  };
  const noted = measured(source, (count) => {
    bytes += count;
    report();
  });
  const walk = new Walk(importer, noted, bases, selection, trees, signal, onLost);
  await walk.run(commit, report);
  return walk.counts;
}

/** After so many steps others have their turn. */
const BREATH = 64;

/** So many files at a time are looked for in the bases. */
const FILES = 1024;

type Step = MetadataStep | { readonly kind: 'files'; readonly numbers: readonly number[] } | FileStep;

/** A file that no base has. */
interface FileStep {
  readonly kind: 'file';
  readonly id: Checksum;
}

interface MetadataStep {
  readonly kind: MetadataKind;
  readonly id: Checksum;
  /** for a commit or dirtree */
  readonly selection?: Selection;
  /** of the folder, where only a part of it is wanted */
  readonly path?: ByteString;
}

class Walk {
  readonly counts: ObjectCounts = { metadata: 0, files: 0, reused: 0 };
  readonly #importer: CommitImporter;
  readonly #source: ObjectSource;
  readonly #bases: Bases;
  readonly #selection: Selection;
  readonly #trees: KnownTrees;
  readonly #metadata: MetadataStep[] = [];
  /** Files that are yet to be looked for, by their numbers in `#seen`, and those that are to be fetched. */
  readonly #files: number[] = [];
  readonly #absent: Checksum[] = [];
  readonly #seen = new DigestTable(ID_SIZE);
  readonly #queued = new Set<string>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #onLost: FetchOptions['onLost'];
  #idle: (() => void)[] = [];
  #busy = 0;
  #done = 0;
  /** What the walk ended with. */
  #failed: Checksum | undefined;

  constructor(
    importer: CommitImporter,
    source: ObjectSource,
    bases: Bases,
    selection: Selection,
    trees: KnownTrees,
    signal: AbortSignal | undefined,
    onLost: FetchOptions['onLost'],
  ) {
    this.#trees = trees;
    this.#onLost = onLost;
    this.#selection = selection;
    this.#importer = importer;
    this.#source = source;
    this.#bases = bases;
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    // Each object under way listens.
    setMaxListeners(0, this.#signal);
  }

  get filesLeft(): number {
    return this.#files.length + this.#absent.length;
  }

  /** Does as many steps at a time as the source takes; each may add others. */
  async run(commit: Checksum, onStep: () => void): Promise<void> {
    // The commit alone comes first: its parent is a base.
    await this.#do({ kind: 'commit', id: commit });
    try {
      await Promise.all(Array.from({ length: this.#source.parallel }, () => this.#steps(onStep)));
      this.#signal.throwIfAborted();
      await this.#importer.settle();
    } catch (error) {
      throw this.#placed(error, commit);
    }
  }

  /** The parsers do not know where in the commit it is that they look at. */
  #placed(error: unknown, commit: Checksum): unknown {
    const id = objectOf(error, this.#failed);
    const place = id === undefined ? undefined : this.#placeOf(id, commit);
    return place === undefined ? error : inPlace(error, place);
  }

  /** Of what is damaged there is no place. */
  #placeOf(id: Checksum, commit: Checksum): string | undefined {
    try {
      return placeOf(id, commit, (each) => this.#importer.metadata(each));
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  /**
   * Does one step after the other, until none is left and none under way. A failure ends all of them, unless it may go
   * on without.
   */
  async #steps(onStep: () => void): Promise<void> {
    while (!this.#signal.aborted) {
      const step = this.#next();
      if (step === undefined) {
        if (this.#busy === 0) break;
        await new Promise<void>((resolve) => this.#idle.push(resolve));
        continue;
      }
      this.#busy++;
      try {
        await this.#do(step);
      } catch (error) {
        if (!this.#signal.aborted && this.#onLost?.(error) !== true) {
          this.#failed = step.kind === 'files' ? undefined : step.id;
          this.#stop.abort(error);
        }
      }
      this.#busy--;
      // What is at hand already would leave no time for anything else.
      if (++this.#done % BREATH === 0) await setImmediate();
      onStep();
      this.#wake();
    }
    this.#wake();
  }

  /** Those who wait for steps. */
  #wake(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(): Step | undefined {
    const step = this.#metadata.shift();
    if (step !== undefined) return step;
    if (this.#files.length > 0) return { kind: 'files', numbers: this.#files.splice(-FILES) };
    const id = this.#absent.pop();
    return id === undefined ? undefined : { kind: 'file', id };
  }

  async #do(step: Step): Promise<void> {
    if (step.kind === 'files') await this.#reuse(step.numbers);
    else if (step.kind === 'file') await this.#fetchFile(step.id);
    else await this.#open(step.kind, step, await this.#bytes(step.kind, step.id));
  }

  /** Takes what bases have of these files; the others are to be fetched. */
  async #reuse(numbers: readonly number[]): Promise<void> {
    const { bytes } = this.#seen;
    const wanted = numbers.filter((number) => !this.#importer.hasAt(bytes, number * ID_SIZE));
    const absent = await this.#bases.files(this.#seen, wanted, (objects, index, named) => {
      this.#importer.copy(objects, index);
      this.#count('files', named, true);
    });
    for (const number of absent) this.#absent.push(this.#seen.digits(number));
  }

  async #fetchFile(id: Checksum): Promise<void> {
    try {
      await this.#importer.addFile(id, await this.#source.file(id, this.#signal));
    } catch (error) {
      throw named(error, 'file', id);
    }
    this.#count('files');
  }

  async #bytes(kind: MetadataKind, id: Checksum): Promise<Buffer> {
    const present = this.#importer.metadata(id);
    if (present !== undefined) return present;
    const found = this.#bases.metadata(kind, id);
    if (found !== undefined) {
      const { entry, named } = found;
      this.#importer.copy(entry.objects, entry.index);
      this.#count('metadata', named, true);
      return entry.data;
    }
    const bytes = await this.#source.metadata(kind, id, this.#signal);
    this.#importer.addMetadata(kind, id, bytes);
    this.#count('metadata');
    return bytes;
  }

  /** @param named one of the commits that the pull is based on has it */
  #count(what: 'metadata' | 'files', named = false, reused = false): void {
    if (named) return;
    this.counts[what]++;
    if (reused) this.counts.reused++;
  }

  /** Adds what an object leads to. */
  async #open(kind: MetadataKind, step: MetadataStep, bytes: Buffer): Promise<void> {
    try {
      if (kind === 'dirmeta') return void parseDirMeta(bytes);
      if (kind === 'dirtree') return this.#openTree(bytes, step);
      const { tree, meta, parent } = parseCommit(bytes);
      await this.#bases.add(parent === undefined ? undefined : commitContentId(parent));
      this.#queue({ kind: 'dirmeta', id: meta });
      this.#queue({ kind: 'dirtree', id: tree, selection: this.#selection });
    } catch (error) {
      throw named(error, kind, step.id);
    }
  }

  #openTree(bytes: Buffer, { id, selection = 'all', path = '' }: MetadataStep): void {
    const tree = parseDirTree(bytes);
    this.#trees.add(id, tree);
    const { files, folders } = selected(tree, selection, path);
    for (const { bytes: ids, at } of files) {
      const number = this.#seen.count;
      if (this.#seen.add(ids, at) === number) this.#files.push(number);
    }
    for (const { name, tree, meta, selection: below } of folders) {
      this.#queue({ kind: 'dirmeta', id: meta });
      const part = below === 'all' ? {} : { path: `${path}/${name}` };
      this.#queue({ kind: 'dirtree', id: tree, selection: below, ...part });
    }
  }

  /** Of equal folders, other parts may be wanted. */
  #queue(step: MetadataStep): void {
    const key = [step.kind, step.id, step.path ?? ''].join(' ');
    if (this.#queued.has(key)) return;
    this.#queued.add(key);
    this.#metadata.push(step);
  }
}

/** The parsers do not know which object it is. */
function named(error: unknown, kind: ObjectKind, id: Checksum): unknown {
  if (!(error instanceof FormatError) || /[0-9a-f]{64}/.test(error.message)) return error;
  return new FormatError(error.code, `${kind} ${id}: ${error.message}`, { cause: error });
}
