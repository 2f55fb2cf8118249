import type { Abortable } from '../../abortable.js';
import type { Repository } from '../../repository/repository.js';
import { verifyChecksum, type Checksum } from '../object/checksum.js';
import { parseCommit } from '../object/commit.js';
import { readCommitRef } from '../refs.js';
import { findCommit } from '../stream/read-commit.js';
import { checkBinding, SignatureCheck, type ReadSignatures, type SignatureKeys } from './signature-check.js';

export interface CommitCheckOptions {
  /** a commit that is not signed by one of these is refused, and so is one that is bound to another ref */
  keys?: SignatureKeys | undefined;
  /** what the repository must say that it is called; default: what its signed summary says */
  collection?: string | undefined;
  /** with keys: a commit may be older than the one that has the name */
  allowDowngrade?: boolean | undefined;
  /** whose PATH counts for gpgv; default: this process's */
  env?: NodeJS.ProcessEnv | undefined;
}

/** What is demanded of a commit beside being the one with its id. */
export class CommitCheck {
  readonly signatures: SignatureCheck | undefined;
  readonly #repository: Repository;
  readonly #options: CommitCheckOptions & Abortable;

  constructor(repository: Repository, options: CommitCheckOptions & Abortable) {
    const { keys } = options;
    this.#repository = repository;
    this.#options = options;
    this.signatures = keys === undefined ? undefined : new SignatureCheck(keys, options);
  }

  /**
   * @param ref that it was asked for by
   * @param collection what the source says that it is called
   * @param read its detached metadata
   * @throws DigestMismatchError; BridgeError `OSTREE_SIGNATURE`, `OSTREE_BINDING`, `OSTREE_DOWNGRADE`
   */
  async commit(
    id: Checksum,
    bytes: Buffer,
    ref: string | undefined,
    collection: string | undefined,
    read: ReadSignatures,
  ): Promise<void> {
    if (this.signatures === undefined) return;
    verifyChecksum(bytes, id, 'commit');
    await this.signatures.commit(id, bytes, read);
    const previous = this.#options.allowDowngrade === true ? undefined : await this.#timeOf(ref, id);
    checkBinding(id, parseCommit(bytes), ref, this.#options.collection ?? collection, previous);
  }

  /** Of the commit that has the name. */
  async #timeOf(ref: string | undefined, id: Checksum): Promise<bigint | undefined> {
    const previous = ref === undefined ? undefined : readCommitRef(this.#repository, ref);
    if (previous === undefined || previous === id) return undefined;
    const commit = await findCommit(this.#repository, previous, this.#options.signal);
    return commit && parseCommit(commit.objects.metadata('commit', previous)).timestamp;
  }
}
