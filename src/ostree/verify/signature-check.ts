import { verify, createPublicKey, type KeyObject } from 'node:crypto';
import type { Abortable } from '../../abortable.js';
import { printable } from '../../bytes.js';
import { BridgeError, FormatError } from '../../errors.js';
import { isSignedBy } from '../../registry/policy/gpgv.js';
import { Variant } from '../gvariant/variant.js';
import { inPlace } from '../in-place.js';
import type { Checksum } from '../object/checksum.js';
import { parseDictionary, type Commit } from '../object/commit.js';
import type { Superblock } from '../delta/superblock.js';

/** An Ed25519 key of 32 bytes, with what has to stand before it in DER (RFC 8410). */
const DER_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const KEY_SIZE = 32;

export interface SignatureKeys {
  /** public keys, 32 bytes each, see `parseEd25519Keys` */
  ed25519?: readonly Buffer[] | undefined;
  /** OpenPGP public keys without armor, which gpgv takes, see `publicKeysIn` */
  gpg?: Buffer | undefined;
}

/** Reads the signatures of something, as they are served beside it; undefined when there are none. */
export type ReadSignatures = () => Promise<Buffer | undefined>;

/**
 * Public keys as ostree keeps them: one a line, base64.
 * @param shown where they come from, for messages
 * @throws FormatError `BAD_CONFIG`
 * @example
 * ```ts
 * import { parseEd25519Keys } from 'composefs-bridge';
 *
 * const keys = parseEd25519Keys('VU4DZGIBCX5u0NCbXLEII2kHdsvBSBwljXC7HIZyrIM=', 'the key');
 * console.log(keys.length, keys[0]?.length); // 1 32
 * ```
 */
export function parseEd25519Keys(text: string, shown: string): Buffer[] {
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => Buffer.from(line, 'base64'));
  if (keys.length === 0 || keys.some((key) => key.length !== KEY_SIZE))
    throw new FormatError(
      'BAD_CONFIG',
      `${printable(shown)} is no Ed25519 public key: ${KEY_SIZE} bytes in base64, one a line in a file`,
    );
  return keys;
}

/** Finds the delta that brings a commit; undefined when there is none. */
export type FindDelta = () => Promise<Superblock | undefined>;

/** Bytes, which are read when there is something that signs them, and that. */
interface Signed {
  bytes(): Buffer;
  readonly signatures: Superblock['signatures'];
}

/** Demands that commits and summaries are signed with one of some keys. */
export class SignatureCheck {
  readonly #ed25519: readonly KeyObject[];
  readonly #gpg: Buffer | undefined;
  readonly #options: { env?: NodeJS.ProcessEnv | undefined } & Abortable;

  /** With keys of both kinds there has to be a signature of each kind. */
  constructor({ ed25519 = [], gpg }: SignatureKeys, options: { env?: NodeJS.ProcessEnv | undefined } & Abortable = {}) {
    this.#ed25519 = ed25519.map((key) =>
      createPublicKey({ key: Buffer.concat([DER_PREFIX, key]), format: 'der', type: 'spki' }),
    );
    this.#gpg = gpg;
    this.#options = options;
  }

  /**
   * @param read its detached metadata, `ID.commitmeta`
   * @param findDelta is asked when the signatures in that do not do
   * @throws BridgeError `OSTREE_SIGNATURE` when the commit is not signed by one of the keys
   */
  async commit(id: Checksum, bytes: Buffer, read: ReadSignatures, findDelta?: FindDelta): Promise<void> {
    const what = `commit ${id}`;
    const own = { bytes: () => bytes, signatures: signaturesIn(await read(), what) };
    try {
      await this.#check(what, [own]);
    } catch (error) {
      if (!(error instanceof BridgeError && error.code === 'OSTREE_SIGNATURE')) throw error;
      const delta = await findDelta?.();
      if (delta === undefined) throw error;
      await this.#check(what, [own, ...signedIn(delta, what)]);
    }
  }

  /** The same for the commit in a delta. Who signed all of the delta has signed the commit, too. */
  async delta(superblock: Superblock): Promise<void> {
    const what = `the delta to commit ${superblock.to}`;
    await this.#check(what, signedIn(superblock, what));
  }

  /** The same for a summary. @param read what is in `summary.sig` */
  async summary(bytes: Buffer, read: ReadSignatures): Promise<void> {
    const what = 'the summary';
    await this.#check(what, [{ bytes: () => bytes, signatures: signaturesIn(await read(), what) }]);
  }

  /** One of what may be signed has to be, for each kind of keys. */
  async #check(what: string, signed: readonly Signed[]): Promise<void> {
    const [ed25519, gpg] = [this.#ed25519, this.#gpg];
    if (ed25519.length > 0)
      await demand(what, signed, 'ostree.sign.ed25519', 'Ed25519', async (bytes, signature) =>
        ed25519.some((key) => isEd25519(bytes, key, signature)),
      );
    if (gpg !== undefined)
      await demand(what, signed, 'ostree.gpgsigs', 'OpenPGP', (bytes, signature) =>
        isSignedBy(bytes, signature, gpg, this.#options),
      );
  }
}

/**
 * Demands that a commit, whose signature is right, is what was asked for.
 * @param ref undefined: it was asked for by its id
 * @param collection what the repository is called, if that is known
 * @param previous seconds since 1970 of the commit that had the name before; older ones are refused
 * @throws BridgeError `OSTREE_BINDING`, `OSTREE_DOWNGRADE`
 */
export function checkBinding(
  id: Checksum,
  commit: Commit,
  ref: string | undefined,
  collection: string | undefined,
  previous: bigint | undefined,
): void {
  const metadata = new Map(commit.metadata);
  const refs = metadata.get('ostree.ref-binding');
  const names = refs?.type.signature === 'as' ? Array.from(refs, (name) => name.string()) : [];
  if (ref !== undefined && !names.includes(ref))
    throw new BridgeError(
      'OSTREE_BINDING',
      `commit ${id} was signed for ${names.map((name) => `ref ${printable(name)}`).join(', ') || 'no ref'}, ` +
        `not for ${printable(ref)}`,
    );
  const bound = metadata.get('ostree.collection-binding');
  const name = bound?.type.signature === 's' ? bound.string() : undefined;
  if (collection !== undefined && name !== collection)
    throw new BridgeError(
      'OSTREE_BINDING',
      `commit ${id} was signed for ${name === undefined ? 'no collection' : `collection ${printable(name)}`}, ` +
        `not for ${printable(collection)}`,
    );
  if (previous !== undefined && commit.timestamp < previous)
    throw new BridgeError(
      'OSTREE_DOWNGRADE',
      `commit ${id} is of ${time(commit.timestamp)}, older than the one that ${printable(ref ?? '')} is now, of ` +
        `${time(previous)}; a server may hold back what is newer`,
    );
}

/** The commit in a delta, and all of the delta. */
function signedIn(superblock: Superblock, what: string): Signed[] {
  return [{ bytes: () => superblock.commit, signatures: signaturesIn(superblock.detached, what) }, superblock];
}

function signaturesIn(detached: Buffer | undefined, what: string): Signed['signatures'] {
  try {
    return detached === undefined ? [] : parseDictionary(Variant.from('a{sv}', detached));
  } catch (error) {
    throw inPlace(error, `signatures of ${what}`);
  }
}

/** @param name of the signatures of one kind @throws BridgeError `OSTREE_SIGNATURE` when none of them is right */
async function demand(
  what: string,
  signed: readonly Signed[],
  name: string,
  kind: string,
  isRight: (bytes: Buffer, signature: Buffer) => Promise<boolean>,
): Promise<void> {
  let count = 0;
  for (const one of signed) {
    const value = one.signatures.find(([key]) => key === name)?.[1];
    if (value?.type.signature !== 'aay' || value.length === 0) continue;
    const bytes = one.bytes();
    for (const signature of value) if (await isRight(bytes, signature.bytes)) return;
    count += value.length;
  }
  throw refusal(what, count, kind);
}

function isEd25519(bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  return signature.length === 64 && verify(undefined, bytes, key, signature);
}

function refusal(what: string, length: number, kind: string): BridgeError {
  const found = length === 0 ? `no ${kind} signature` : `${kind} signatures (${length}), and none is of a key`;
  return new BridgeError('OSTREE_SIGNATURE', `${what} has ${found}${length === 0 ? '' : ' that was given'}`);
}

function time(seconds: bigint): string {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? `second ${seconds}` : date.toISOString();
}
