// Signatures of cosign's kind: a statement, and beside it a signature with a key that the policy names.
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { BridgeError, FormatError } from '../../errors.js';
import { SIGNATURE_ANNOTATION, STATEMENT_TYPE, type SigstoreSignature } from '../signatures/signature.js';
import { problemUnlessOneIsGood } from './first-good.js';
import { problemWithStatement, type Expected } from './statement.js';

/**
 * Whether one of several signatures is of one of some keys, and about a manifest.
 * @param keys public, as PEM
 * @returns undefined if one is, else what is wrong with them all
 * @throws FormatError, BridgeError `BAD_CONFIG` for a key
 */
export async function problemWithSigstore(
  signatures: readonly SigstoreSignature[],
  keys: readonly string[],
  expected: Omit<Expected, 'kind'>,
): Promise<string | undefined> {
  const read = keys.map(readPublicKey);
  return problemUnlessOneIsGood(signatures, (signature) => problemWithOne(signature, read, expected));
}

function problemWithOne(
  { payload, annotations }: SigstoreSignature,
  keys: readonly KeyObject[],
  expected: Omit<Expected, 'kind'>,
): string | undefined {
  const signature = annotations[SIGNATURE_ANNOTATION];
  if (signature === undefined) return `a signature has no ${SIGNATURE_ANNOTATION}`;
  // Before this nothing in the statement means anything.
  const bytes = Buffer.from(signature, 'base64');
  if (bytes.toString('base64') !== signature || !keys.some((key) => isSignedBy(key, payload, bytes)))
    return 'a signature is of another key, or the statement was changed';
  return problemWithStatement(payload, { ...expected, kind: 'cosign' });
}

/** Whether something attached to an image is a signature: attestations are attached in the same way. */
export function isSignature({ mediaType }: SigstoreSignature): boolean {
  return mediaType === STATEMENT_TYPE;
}

function readPublicKey(pem: string): KeyObject {
  // A private key or a certificate would be taken as well, and is a mistake here.
  if (!/-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem))
    throw new FormatError('BAD_CONFIG', 'the key that signatures are to be of is no public key in PEM form');
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new BridgeError('BAD_CONFIG', 'the key that signatures are to be of cannot be read', { cause });
  }
}

function isSignedBy(key: KeyObject, statement: Buffer, signature: Buffer): boolean {
  try {
    return verify(key.asymmetricKeyType === 'ed25519' ? undefined : 'sha256', statement, key, signature);
  } catch {
    // What is not a signature of this kind of key at all.
    return false;
  }
}
