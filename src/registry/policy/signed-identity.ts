// How the name in a signed statement and the name of the image it is about belong together.
import * as z from 'zod';
import { isDigest } from '../../spec/manifest.js';
import { isTag, parseRepositoryName } from '../../spec/reference.js';

/** The name of an image, completed as docker does. */
export interface ImageName {
  /** with its host */
  repository: string;
  tag?: string | undefined;
  digest?: string | undefined;
}

const DOMAIN = /^[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?$|^\[[0-9a-fA-F:]+\](?::\d+)?$/;

const reference = z.string().refine((text) => {
  const name = parseName(text);
  return name !== undefined && !isNameOnly(name);
}, 'this is no name with a tag or a digest');
const repository = z.string().refine((text) => parseName(text) !== undefined, 'this is no name of a repository');
const prefix = z
  .string()
  .refine(
    (text) => DOMAIN.test(text) || (text.includes('/') && parseName(text)?.repository === text),
    'this is neither a host nor the beginning of a name',
  );

export const identitySchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.enum(['matchExact', 'matchRepoDigestOrExact', 'matchRepository']) }),
  z.strictObject({ type: z.literal('exactReference'), dockerReference: reference }),
  z.strictObject({ type: z.literal('exactRepository'), dockerRepository: repository }),
  z.strictObject({ type: z.literal('remapIdentity'), prefix, signedPrefix: prefix }),
]);

export type SignedIdentity = z.output<typeof identitySchema>;

/** Where a rule says nothing. */
export const DEFAULT_IDENTITY: SignedIdentity = { type: 'matchRepoDigestOrExact' };

/**
 * Whether a statement about `signedName` is one about the image that was asked for.
 * @param asked undefined for images that have no name, such as those in folders
 */
export function matches(identity: SignedIdentity, asked: ImageName | undefined, signedName: string): boolean {
  const signed = parseName(signedName);
  if (signed === undefined) return false;
  switch (identity.type) {
    case 'matchRepository':
      return signed.repository === asked?.repository;
    case 'matchExact':
      return isSame(asked, signed);
    case 'matchRepoDigestOrExact':
      return isDigestOrSame(asked, signed);
    case 'exactReference':
      return isSame(parseName(identity.dockerReference), signed);
    case 'exactRepository':
      return signed.repository === parseName(identity.dockerRepository)?.repository;
    case 'remapIdentity':
      return isDigestOrSame(asked && remap(asked, identity.prefix, identity.signedPrefix), signed);
  }
}

/** @returns undefined for what is no name */
export function parseName(text: string): ImageName | undefined {
  const at = text.indexOf('@');
  const named = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const colon = named.lastIndexOf(':');
  const tag = colon > named.lastIndexOf('/') ? named.slice(colon + 1) : undefined;
  if ((digest !== undefined && !isDigest(digest)) || (tag !== undefined && !isTag(tag))) return undefined;
  try {
    const { host, path } = parseRepositoryName(tag === undefined ? named : named.slice(0, colon));
    return { repository: `${host}/${path}`, tag, digest };
  } catch {
    return undefined;
  }
}

export function showName({ repository: name, tag, digest }: ImageName): string {
  return `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function isNameOnly({ tag, digest }: ImageName): boolean {
  return tag === undefined && digest === undefined;
}

/** A statement without a tag is about a whole repository, and so about no image of it in particular. */
function isSame(asked: ImageName | undefined, signed: ImageName): boolean {
  return asked !== undefined && !isNameOnly(signed) && showName(asked) === showName(signed);
}

function isDigestOrSame(asked: ImageName | undefined, signed: ImageName): boolean {
  // The digest is in the statement as well, and is compared in any case.
  if (asked?.tag === undefined && asked?.digest !== undefined)
    return !isNameOnly(signed) && signed.repository === asked.repository;
  return isSame(asked, signed);
}

function remap(asked: ImageName, from: string, to: string): ImageName | undefined {
  const { repository: name } = asked;
  if (name !== from && !name.startsWith(`${from}/`)) return asked;
  const renamed = showName({ ...asked, repository: to + name.slice(from.length) });
  const parsed = parseName(renamed);
  return parsed && showName(parsed) === renamed ? parsed : undefined;
}
