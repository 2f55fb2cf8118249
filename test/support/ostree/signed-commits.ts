// An independent signer of commits and summaries: Debian's ostree cannot sign with Ed25519.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeVariant, variantOf } from '../../../src/ostree/gvariant/encode.js';
import { sha256, type Checksum } from '../../../src/ostree/object/checksum.js';
import { encodeCommit, parseCommit } from '../../../src/ostree/object/commit.js';

export class Signer {
  readonly #key: KeyObject;
  /** base64, as the command line takes it */
  readonly publicKey: string;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.#key = privateKey;
    this.publicKey = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
  }

  /** What lies beside something that is signed: `ID.commitmeta` and `summary.sig` look alike. */
  signatures(bytes: Buffer): Buffer {
    const signature = sign(undefined, bytes, this.#key);
    return encodeVariant('a{sv}', [['ostree.sign.ed25519', variantOf('aay', [signature])]]);
  }
}

interface SignedCommit {
  /** the refs that it is made for; default: it does not say */
  refs?: readonly string[];
  collection?: string;
  /** seconds since 1970 */
  timestamp: bigint;
}

/** Makes another commit with the files of one that an archive has, signs it, and has refs lead to it. */
export function signCommit(
  archive: string,
  from: Checksum,
  signer: Signer,
  { refs, collection, timestamp }: SignedCommit,
  named: readonly string[] = refs ?? [],
): Checksum {
  const pathOf = (id: Checksum, kind: string): string =>
    join(archive, `objects/${id.slice(0, 2)}/${id.slice(2)}.${kind}`);
  const bytes = encodeCommit({
    ...parseCommit(readFileSync(pathOf(from, 'commit'))),
    metadata: [
      ...(refs === undefined ? [] : [['ostree.ref-binding', variantOf('as', refs)] as const]),
      ...(collection === undefined ? [] : [['ostree.collection-binding', variantOf('s', collection)] as const]),
    ],
    timestamp,
  });
  const id = sha256(bytes);
  mkdirSync(dirname(pathOf(id, 'commit')), { recursive: true });
  writeFileSync(pathOf(id, 'commit'), bytes);
  writeFileSync(pathOf(id, 'commitmeta'), signer.signatures(bytes));
  for (const ref of named) setRef(archive, ref, id);
  return id;
}

/** Has a ref of an ostree repository lead to a commit. */
export function setRef(archive: string, ref: string, commit: Checksum): void {
  const path = join(archive, 'refs/heads', ref);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${commit}\n`);
}

/** A summary with these refs, and what the repository is called. */
export function encodeSummary(refs: Readonly<Record<string, Checksum>>, collection?: string): Buffer {
  return encodeVariant('(a(s(taya{sv}))a{sv})', [
    Object.keys(refs)
      .sort()
      .map((name) => [name, [100n, Buffer.from(refs[name]!, 'hex'), []]]),
    collection === undefined ? [] : [['ostree.summary.collection-id', variantOf('s', collection)]],
  ]);
}
