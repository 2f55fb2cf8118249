// Kernel command lines, and the argument in them that names the image to boot.
// Source: the kernel's admin guide, "kernel-parameters"; composefs-boot 0.9.4 for composefs= and composefs.digest=.
import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { ErofsVersion } from '../erofs/format/options.js';
import { DIGEST_SIZE, type Algorithm, type ObjectId } from '../fsverity/object-id.js';

const DIGEST = 'composefs.digest=';
const LEGACY = 'composefs=';
/** White space parts arguments, but not within double quotes, which cannot be escaped. */
const ARGUMENT = /(?:[^ \t\n\f\r"]|"[^"]*(?:"|$))+/g;

/** Where an argument is in a command line, `end` excluded. */
export interface Argument {
  text: ByteString;
  start: number;
  end: number;
}

/** The arguments of a command line, in order. */
export function splitCommandLine(line: ByteString): Argument[] {
  return [...line.matchAll(ARGUMENT)].map((match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/** Whether an argument says which image to boot. */
export function namesImage(argument: ByteString): boolean {
  return argument.startsWith(DIGEST) || argument.startsWith(LEGACY);
}

/**
 * The argument that names an EROFS image.
 * @param version of the image; 2 has an older form
 * @param insecure lets the machine boot although the image has no fs-verity
 */
export function imageArgument(id: ObjectId, version: ErofsVersion, algorithm: Algorithm, insecure: boolean): string {
  const optional = insecure ? '?' : '';
  return version === 2 ? `${LEGACY}${optional}${id}` : `${DIGEST}${optional}v1-${algorithm}-12:${id}`;
}

/**
 * The digest of the image that a command line names. Images of another algorithm count as not named; the newer form
 * comes first.
 * @throws FormatError `KERNEL_ARGUMENT` for a value that cannot be read
 */
export function namedImage(line: ByteString, algorithm: Algorithm): ObjectId | undefined {
  const texts = splitCommandLine(line).map(({ text }) => text);
  for (const text of texts.filter((argument) => argument.startsWith(DIGEST))) {
    const [, named, digest = ''] = /^\??v[12]-(sha256|sha512)-12:(.*)$/s.exec(text.slice(DIGEST.length)) ?? bad(text);
    if (named === algorithm) return checked(digest, algorithm, text);
  }
  const legacy = texts.find((argument) => argument.startsWith(LEGACY));
  return legacy === undefined ? undefined : checked(legacy.slice(LEGACY.length).replace(/^\?/, ''), algorithm, legacy);
}

function checked(digest: string, algorithm: Algorithm, argument: ByteString): ObjectId {
  if (digest.length !== 2 * DIGEST_SIZE[algorithm] || !/^[0-9a-f]*$/i.test(digest)) bad(argument);
  return digest.toLowerCase();
}

function bad(argument: ByteString): never {
  throw new FormatError(
    'KERNEL_ARGUMENT',
    `the kernel argument ${JSON.stringify(argument.slice(0, 300))} does not name an image`,
  );
}
