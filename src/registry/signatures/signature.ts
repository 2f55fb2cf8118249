// Signatures of images as they are kept: in lookaside servers, in folders of `dir:`, in a containers-storage.
// Source: containers/image internal/signature.
import * as z from 'zod';
import { printable } from '../../bytes.js';
import { FormatError } from '../../errors.js';

/** Media type of a statement that cosign signs. */
export const STATEMENT_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** Annotation with the signature of it, as base64. */
export const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature';

/** A message of OpenPGP, with the statement in it. */
export interface SimpleSignature {
  kind: 'simple';
  message: Buffer;
}

/** What is attached to an image: a signature, or something else with another media type. */
export interface SigstoreSignature {
  kind: 'sigstore';
  mediaType: string;
  /** the signed bytes */
  payload: Buffer;
  annotations: Readonly<Record<string, string>>;
}

export type Signature = SimpleSignature | SigstoreSignature;

const BINARY = 0;
/** Kinds of OpenPGP packets that a signed message begins with: signature, one-pass signature, compressed. */
const MESSAGE_PACKETS = [2, 4, 8];

const sigstoreSchema = z.object({
  mimeType: z.string(),
  payload: z.base64(),
  annotations: z
    .record(z.string(), z.string())
    .nullish()
    .transform((annotations) => annotations ?? {}),
});

/**
 * A signature as it is kept.
 * @param where it is, for messages
 * @throws FormatError `SIGNATURE`
 */
export function parseSignature(bytes: Buffer, where: string): Signature {
  const [first] = bytes;
  if (first === undefined) throw bad(where, 'is empty');
  if (first !== BINARY) {
    const tag = first & 0x40 ? first & 0x3f : (first & 0x3c) >> 2;
    if ((first & 0x80) === 0 || !MESSAGE_PACKETS.includes(tag)) throw bad(where, 'is no signature');
    return { kind: 'simple', message: bytes };
  }
  const end = bytes.indexOf('\n');
  const format = bytes.toString('latin1', 1, Math.max(end, 1));
  if (format === 'simple-signing') return { kind: 'simple', message: bytes.subarray(end + 1) };
  if (format !== 'sigstore-json')
    throw bad(where, `is a signature of the unknown format ${JSON.stringify(printable(format.slice(0, 100)))}`);
  const { mimeType, payload, annotations } = readSigstore(bytes.toString('utf8', end + 1), where);
  return { kind: 'sigstore', mediaType: mimeType, payload: Buffer.from(payload, 'base64'), annotations };
}

function readSigstore(text: string, where: string): z.output<typeof sigstoreSchema> {
  try {
    return sigstoreSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw bad(where, 'is not the signature that it says it is', cause);
  }
}

function bad(where: string, what: string, cause?: unknown): FormatError {
  return new FormatError('SIGNATURE', `${where} ${what}`, { cause });
}
