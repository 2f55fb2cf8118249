import type { Abortable } from '../../abortable.js';
import type { Repository } from '../../repository/repository.js';
import { verifyChecksum, type Checksum } from '../object/checksum.js';
import { parseCommit } from '../object/commit.js';
import type { Superblock } from '../delta/superblock.js';
import { nameOf, WHOLE, type CommitForm } from '../form.js';
import { readStoredRef } from '../refs.js';
import { findStored } from '../stream/read-commit.js';
import {
  checkBinding,
  SignatureCheck,
  type FindDelta,
  type ReadSignatures,
  type SignatureKeys,
} from './signature-check.js';

/** What users are told where no keys are given. */
export const NOT_LOOKED_AT = 'Signatures are not looked at: no key was given';

export interface CommitCheckOptions {
  /** a commit that is not signed by one of these is refused, and so is one that is bound to another ref */
  keys?: SignatureKeys | undefined;
  /** what the repository must say that it is called; default: what its signed summary says */
  collection?: string | undefined;
  /** with keys: a commit may be older than the one that has the name */
  allowDowngrade?: boolean | undefined;
  /** in which the commit is wanted: others have other names here; default: as cfsctl keeps it */
  form?: CommitForm | undefined;
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
   * @param findDelta to the commit, whose signatures count as well
   * @throws DigestMismatchError; BridgeError `OSTREE_SIGNATURE`, `OSTREE_BINDING`, `OSTREE_DOWNGRADE`
   */
  async commit(
    id: Checksum,
    bytes: Buffer,
    ref: string | undefined,
    collection: string | undefined,
    read: ReadSignatures,
    findDelta?: FindDelta,
  ): Promise<void> {
    if (this.signatures === undefined) return;
    verifyChecksum(bytes, id, 'commit');
    await this.signatures.commit(id, bytes, read, findDelta);
    await this.#bound(id, bytes, ref, collection);
  }

  /**
   * The same for the commit in a delta.
   * @param ref that it is to get
   */
  async delta(superblock: Superblock, ref: string | undefined): Promise<void> {
    if (this.signatures === undefined) return;
    await this.signatures.delta(superblock);
    await this.#bound(superblock.to, superblock.commit, ref, undefined);
  }

  async #bound(id: Checksum, bytes: Buffer, ref: string | undefined, collection: string | undefined): Promise<void> {
    const previous = this.#options.allowDowngrade === true ? undefined : await this.#timeOf(ref, id);
    checkBinding(id, parseCommit(bytes), ref, this.#options.collection ?? collection, previous);
  }

  /** Of the commit that has the name. */
  async #timeOf(ref: string | undefined, id: Checksum): Promise<bigint | undefined> {
    const { form = WHOLE, signal } = this.#options;
    const previous = ref === undefined ? undefined : readStoredRef(this.#repository, nameOf(ref, form));
    const commit = previous && (await findStored(this.#repository, previous, signal));
    if (!commit || commit.id === id) return undefined;
    return parseCommit(commit.objects.metadata('commit', commit.id)).timestamp;
  }
}
