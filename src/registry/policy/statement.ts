// What is signed: a statement that an image with this digest has this name. Anything unexpected in it is refused: it
// may be a condition that is not understood here.
import * as z from 'zod';
import { printable } from '../../bytes.js';
import { digestLike, isDigest } from '../../spec/manifest.js';
import { parseStrictJson } from '../../spec/strict-json.js';
import { matches, type ImageName, type SignedIdentity } from './signed-identity.js';

const optional = z.looseObject({
  creator: z.string().nullish(),
  timestamp: z.number().refine(Number.isInteger).nullish(),
});

const critical = <Type extends string>(type: Type) =>
  z.strictObject({
    type: z.literal(type),
    image: z.strictObject({ 'docker-manifest-digest': z.string().refine(isDigest) }),
    identity: z.strictObject({ 'docker-reference': z.string() }),
  });

const SCHEMAS = {
  atomic: z.strictObject({ critical: critical('atomic container signature'), optional }),
  // cosign has null where there is nothing.
  cosign: z.strictObject({ critical: critical('cosign container image signature'), optional: optional.nullable() }),
};

/** What a statement has to be about. */
export interface Expected {
  /** whose kind of statement it is */
  kind: keyof typeof SCHEMAS;
  manifest: Buffer;
  name?: ImageName | undefined;
  /** how the name in the statement and that of the image belong together; any name when left out */
  identity?: SignedIdentity | undefined;
}

/**
 * Whether a statement whose signature is right is about an image.
 * @returns undefined if it is, else what is wrong
 */
export function problemWithStatement(
  statement: Buffer,
  { kind, manifest, name, identity }: Expected,
): string | undefined {
  const parsed = SCHEMAS[kind].safeParse(readJson(statement));
  if (!parsed.success) return 'a signed statement is not about an image';
  const { image, identity: signed } = parsed.data.critical;
  const digest = image['docker-manifest-digest'];
  if (digestLike(digest, manifest) !== digest) return 'a signed statement is about another image';
  const signedName = signed['docker-reference'];
  return identity === undefined || matches(identity, name, signedName)
    ? undefined
    : `a signed statement names the image ${JSON.stringify(printable(signedName))}, which is another name (rule ` +
        `${identity.type})`;
}

function readJson(bytes: Buffer): unknown {
  try {
    return parseStrictJson(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
