// Makes commits of ostree whole: what of them is right stays, the rest comes from other commits and from the sources.
import type { ByteString } from '../../bytes.js';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { checkFile } from '../../ostree/fsck.js';
import { formBehind, type CommitForm } from '../../ostree/form.js';
import { publishWithImage } from '../../ostree/image/commit-image.js';
import { rebuildImage } from '../../ostree/image/rebuild-image.js';
import { commitTree } from '../../ostree/image/tree.js';
import { sha256, type Checksum } from '../../ostree/object/checksum.js';
import { encodeHeader } from '../../ostree/object/file-header.js';
import { Bases } from '../../ostree/pull/bases.js';
import { fetchCommit } from '../../ostree/pull/fetch-commit.js';
import { CommitImporter, type OnObject } from '../../ostree/pull/importer.js';
import type { ObjectSource } from '../../ostree/pull/source.js';
import { listStored, listStoredRefs } from '../../ostree/refs.js';
import { selectionOf } from '../../ostree/selection.js';
import { CommitObjects, type StoredEntry, type StoredFileEntry } from '../../ostree/stream/commit-objects.js';
import type { CommitChunk } from '../../ostree/stream/format.js';
import { findStored, type StoredCommit } from '../../ostree/stream/read-commit.js';
import { commitOf, variantOf } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import type { Directory } from '../../tree/tree.js';
import type { Health } from './health.js';
import { isFatal, type SourceProblem } from './layers.js';
import { describeLoss } from './loss.js';
import type { AffectedImage } from './report.js';
import type { RepairSource } from './sources.js';

const REBUILT = 'a rebuild from the commit';
const REWRITTEN = 'the objects of the commit';

interface Source {
  readonly name: string;
  readonly objects: ObjectSource;
}

/** Has nothing: what comes without it is in the repository. */
const HERE: Source = {
  name: 'itself',
  objects: {
    parallel: 1,
    policy: { take: 'copy', trusted: true },
    metadata: async (kind, id) => Promise.reject(new NotFoundError(`no source has ${kind} ${id}`)),
    file: async (id) => Promise.reject(new NotFoundError(`no source has file ${id}`)),
  },
};

/** A commit as it was found. */
interface State {
  readonly stored: StoredCommit | undefined;
  readonly sound: readonly StoredEntry[];
  /** undefined when what is stored gives none */
  readonly tree: Directory | undefined;
  /** undefined: it is whole, but for its image maybe */
  readonly problem: string | undefined;
}

export class CommitRepair {
  readonly problems: SourceProblem[] = [];
  readonly #repository: Repository;
  readonly #health: Health;
  readonly #sources: readonly Source[];
  readonly #signal: AbortSignal;
  /** Files whose content was hashed, and is where the commits say. */
  readonly #verified = new Map<Checksum, ObjectId>();

  constructor(repository: Repository, health: Health, sources: readonly RepairSource[], signal: AbortSignal) {
    this.#repository = repository;
    this.#health = health;
    this.#sources = [
      HERE,
      ...sources.flatMap(({ name, commits }) => (commits === undefined ? [] : [{ name, objects: commits }])),
    ];
    this.#signal = signal;
  }

  /**
   * Restores the objects, streams and images of all commits that the repository has, or has a name for.
   * @returns those that are not whole
   */
  async repair(): Promise<AffectedImage[]> {
    const damaged: [ByteString, readonly string[]][] = [];
    // What one has that is right, another one may need.
    for (const [contentId, names] of commitsByStream(this.#repository))
      if (!(await this.#makeImage(await this.#examine(contentId)))) damaged.push([contentId, names]);
    const affected: AffectedImage[] = [];
    for (const [contentId, names] of damaged) {
      const reason = await this.#restore(contentId, names, await this.#examine(contentId));
      if (reason === undefined) continue;
      const id = idOf(contentId);
      const problems = [describeLoss({ part: 'commit', id, reason })];
      affected.push(...(names.length === 0 ? [id] : names).map((image) => ({ image, problems })));
    }
    return affected;
  }

  async #examine(contentId: ByteString): Promise<State> {
    this.#signal.throwIfAborted();
    const sound: StoredEntry[] = [];
    let stored: StoredCommit | undefined;
    try {
      const stream = this.#repository.streamObject(contentId);
      if (stream !== undefined && this.#health.isRight(stream))
        stored = await findStored(this.#repository, contentId, this.#signal);
      if (stored === undefined) return { stored, sound, tree: undefined, problem: 'its stream is lost' };
      for (const entry of stored.objects) if (await this.#isSound(stored.objects, entry)) sound.push(entry);
      const wrong = stored.objects.count - sound.length;
      const tree = commitTree(stored.objects, stored.form);
      const problem =
        wrong === 0 ? undefined : `${wrong} of its objects ${wrong === 1 ? 'is' : 'are'} missing or damaged`;
      return { stored, sound, tree, problem };
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      return { stored, sound, tree: undefined, problem: error.message };
    }
  }

  async #isSound(objects: CommitObjects, { id, data, object }: StoredEntry): Promise<boolean> {
    this.#signal.throwIfAborted();
    if (object === undefined ? sha256(data) === id : this.#verified.get(id) === object) return true;
    if (object !== undefined && !this.#health.isRight(object)) return false;
    try {
      await checkFile(this.#repository, objects, id, false);
    } catch (error) {
      if (error instanceof BridgeError) return false;
      throw error;
    }
    if (object !== undefined) this.#verified.set(id, object);
    return true;
  }

  /** The same of a file of another commit, all of which were looked at. */
  #isVerified(id: Checksum, { header, inline, object }: StoredFileEntry): boolean {
    if (object !== undefined) return this.#verified.get(id) === object;
    return sha256(Buffer.concat([encodeHeader(header), inline])) === id;
  }

  /** Makes sure that there is the image that a commit has. @returns whether the commit is whole then */
  async #makeImage({ stored, tree, problem }: State): Promise<boolean> {
    if (stored?.image === undefined || tree === undefined) return problem === undefined;
    const image = await this.#image(tree, stored.image, problem === undefined);
    if (image === undefined) return false;
    if (image === stored.image) await this.#repository.linkImage(image);
    else await this.#publish(stored.id, stored.objects.whole, image, stored.form);
    return problem === undefined;
  }

  /**
   * @param expected that stays when it is right
   * @param orOther another one will do when it cannot be made again
   */
  async #image(tree: Directory, expected: ObjectId | undefined, orOther: boolean): Promise<ObjectId | undefined> {
    if (expected !== undefined && this.#health.isRight(expected)) return expected;
    const { id, bytes } = rebuildImage(this.#repository, tree, expected);
    if (id !== expected && !orOther) return undefined;
    if (!this.#health.isRight(id)) {
      await this.#repository.objects.put(bytes);
      this.#health.setRight(id, REBUILT);
    }
    return id;
  }

  /** @returns why it is not whole */
  async #restore(contentId: ByteString, names: readonly string[], state: State): Promise<string | undefined> {
    const { stored, sound, problem } = state;
    if (problem === undefined) return undefined;
    const form = stored?.form ?? formBehind(contentId, names);
    if (form === undefined) return `${problem}, and no name of it says what part of the commit it had`;
    const commit = idOf(contentId);
    await using importer = new Importer(this.#repository, this.#health, this.#sources);
    for (const { objects, index } of sound) importer.copy(objects, index);
    if (!(await this.#fetch(importer, commit, form))) return problem;
    const chunk = await importer.finish(commit);
    try {
      const tree = commitTree(new CommitObjects(chunk), form);
      const image = (await this.#image(tree, stored?.image, true)) as ObjectId;
      if (stored === undefined || image !== stored.image || !isSame(stored.objects.whole, chunk))
        await this.#publish(commit, chunk, image, form);
      else await this.#repository.linkImage(image);
      return undefined;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      return error.message;
    }
  }

  async #publish(commit: Checksum, chunk: CommitChunk, image: ObjectId, form: CommitForm): Promise<void> {
    const { stream } = await publishWithImage(this.#repository, commit, chunk, image, form);
    this.#health.setRight(stream, REWRITTEN);
  }

  /** Asks one after the other, and again as long as that helps: each may have folders that lead to what others have. */
  async #fetch(importer: Importer, commit: Checksum, form: CommitForm): Promise<boolean> {
    const bases = new Bases(this.#repository, this.#signal, async (objects, files) =>
      [...files.keys()].filter((i) => !this.#isVerified(objects.idAt(files[i]!), objects.fileAt(files[i]!))),
    );
    await bases.addOthers();
    for (let before = -1; importer.count > before; ) {
      before = importer.count;
      for (const source of this.#sources) if (await this.#ask(source, importer, commit, form, bases)) return true;
    }
    return false;
  }

  /** @returns whether nothing is missing any more */
  async #ask(
    { name, objects }: Source,
    importer: Importer,
    commit: Checksum,
    form: CommitForm,
    bases: Bases,
  ): Promise<boolean> {
    importer.from = name;
    let complete = true;
    const wrong: string[] = [];
    const onLost = (error: unknown): boolean => {
      complete = false;
      if (error instanceof NotFoundError) return true;
      if (!(error instanceof FormatError || error instanceof DigestMismatchError)) return false;
      wrong.push(error.message);
      return true;
    };
    try {
      await fetchCommit(importer, commit, objects, bases, {
        selection: selectionOf(form),
        signal: this.#signal,
        onLost,
      });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (isFatal(error)) throw error;
      complete = false;
      if (!(error instanceof NotFoundError)) wrong.push((error as Error).message);
    }
    this.#report(name, wrong);
    return complete;
  }

  #report(source: string, [first, ...others]: readonly string[]): void {
    if (first === undefined) return;
    const message = others.length === 0 ? first : `${first}; and ${others.length} more`;
    if (!this.problems.some((known) => known.source === source && known.message === message))
      this.problems.push({ source, message });
  }
}

/** Takes down what it stored. */
class Importer extends CommitImporter {
  /** the name of the source that is being asked */
  from = '';

  constructor(repository: Repository, health: Health, sources: readonly Source[]) {
    const trusted = sources.every(({ objects }) => objects.policy.trusted);
    const note: OnObject = (id, _, object) => {
      if (object !== undefined) health.setRight(object, `file ${id} of ${this.from}`);
    };
    super(repository, { take: 'reflink', trusted }, note, true);
  }
}

/** The names of the streams of all commits that are there or have a name, with the names each has. */
function commitsByStream(repository: Repository): Map<ByteString, string[]> {
  const commits = new Map<ByteString, string[]>(listStored(repository).map((contentId) => [contentId, []]));
  for (const { name, contentId } of listStoredRefs(repository))
    commits.set(contentId, [...(commits.get(contentId) ?? []), name]);
  return commits;
}

function idOf(contentId: ByteString): Checksum {
  return (commitOf(contentId) ?? variantOf(contentId)) as Checksum;
}

function isSame(a: CommitChunk, b: CommitChunk): boolean {
  return a.bytes.equals(b.bytes) && a.objects.bytes.equals(b.objects.bytes);
}
