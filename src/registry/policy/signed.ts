// Rules about signatures: one signature that fulfils the rule is enough, and what is wrong with the others is told.
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import { bytesOf } from '../../bytes.js';
import { isErrno } from '../../fd/fd.js';
import { readWhole, UnfitFileError } from '../../fd/read-whole.js';
import { CONTAINERS_CONFIG_LIMIT } from '../../limits.js';
import type { SigstoreSignature, SimpleSignature } from '../signatures/signature.js';
import { problemUnlessOneIsGood } from './first-good.js';
import { signedText } from './gpgv.js';
import { publicKeysIn } from './openpgp-keys.js';
import type { ImageToCheck } from './image-to-check.js';
import type { SignatureRequirement } from './requirements.js';
import { DEFAULT_IDENTITY } from './signed-identity.js';
import { isSignature, problemWithSigstore } from './sigstore.js';
import { problemWithStatement } from './statement.js';

type SignedBy = Extract<SignatureRequirement, { type: 'signedBy' }>;
type SigstoreSigned = Extract<SignatureRequirement, { type: 'sigstoreSigned' }>;

/** Conditions beyond keys. To leave them out would be to accept more than was meant. */
const UNVERIFIED = [
  'fulcio',
  'pki',
  'rekorPublicKeyPath',
  'rekorPublicKeyPaths',
  'rekorPublicKeyData',
  'rekorPublicKeyDatas',
] as const;

interface Key {
  bytes: Buffer;
  shown: string;
}

/**
 * Why the signatures of an image do not fulfil a rule, to follow its name in a message.
 * @returns undefined when one does
 * @throws NotFoundError, FormatError `BAD_CONFIG` for keys; BridgeError `POLICY` without gpgv
 */
export async function problemWithSignatures(
  rule: SignatureRequirement,
  image: ImageToCheck,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  return rule.type === 'signedBy' ? signedBy(rule, image, env, signal) : sigstoreSigned(rule, image);
}

async function signedBy(
  rule: SignedBy,
  { subject, manifest, signatures }: ImageToCheck,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (rule.keyType !== 'GPGKeys') return ` with keyType ${rule.keyType}, which is not verified here`;
  const keyring = Buffer.concat(keysOf(rule).map(({ bytes, shown }) => publicKeysIn(bytes, shown)));
  const ofOurKind = (await signatures()).filter((one): one is SimpleSignature => one.kind === 'simple');
  const expected = { manifest, name: subject.name, identity: rule.signedIdentity ?? DEFAULT_IDENTITY };
  const problem = await problemUnlessOneIsGood(ofOurKind, async ({ message }) => {
    // Before this nothing in the statement means anything.
    const statement = await signedText(message, keyring, { env, signal });
    if (statement === undefined)
      return 'a signature is of another key, its key has expired, or the statement was changed';
    return problemWithStatement(statement, { ...expected, kind: 'atomic' });
  });
  return problem && `: ${problem}`;
}

async function sigstoreSigned(
  rule: SigstoreSigned,
  { subject, manifest, signatures }: ImageToCheck,
): Promise<string | undefined> {
  const unverified = UNVERIFIED.find((condition) => Object.hasOwn(rule, condition));
  if (unverified !== undefined) return ` with ${unverified}, which is not verified here`;
  const ofOurKind = (await signatures()).filter(
    (one): one is SigstoreSignature => one.kind === 'sigstore' && isSignature(one),
  );
  const keys = keysOf(rule).map(({ bytes }) => bytes.toString('utf8'));
  const problem = await problemWithSigstore(ofOurKind, keys, {
    manifest,
    name: subject.name,
    identity: rule.signedIdentity ?? DEFAULT_IDENTITY,
  });
  return problem && `: ${problem}`;
}

function keysOf(rule: SignatureRequirement): Key[] {
  const { keyPath, keyPaths, keyData } = rule;
  const keyDatas = rule.type === 'sigstoreSigned' ? rule.keyDatas : undefined;
  return [...(keyPath === undefined ? [] : [keyPath]), ...(keyPaths ?? [])].map(readKey).concat(
    [...(keyData === undefined ? [] : [keyData]), ...(keyDatas ?? [])].map((data) => ({
      bytes: Buffer.from(data, 'base64'),
      shown: 'the key in the policy',
    })),
  );
}

function readKey(path: string): Key {
  try {
    return { bytes: readWhole(bytesOf(path), CONTAINERS_CONFIG_LIMIT), shown: path };
  } catch (cause) {
    if (isErrno(cause, 'ENOENT', 'ENOTDIR'))
      throw new NotFoundError(`the policy names the key ${path}, which does not exist`, { cause });
    if (cause instanceof UnfitFileError)
      throw new FormatError('BAD_CONFIG', `${path}, which the policy names as key, ${cause.message}`, { cause });
    throw new BridgeError('BAD_CONFIG', `${path}, which the policy names as key, cannot be read`, { cause });
  }
}
