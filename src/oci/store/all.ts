// What keeps the tagged images of a repository and the named ones of a store in step has in common.
import type { Abortable } from '../../abortable.js';
import { FormatError } from '../../errors.js';
import { parseImageReference, storedNameOf } from '../../storage/reference.js';

/** What became of one name. */
export interface NamedOutcome {
  /** as the store keeps it */
  readonly name: string;
  /** of the image that has the name where it comes from; undefined for a name that is only at the other end */
  readonly manifestDigest: string | undefined;
  /**
   * `there`: nothing to do; `new`: it came; `moved`: the name was that of another image; `removed`: only the other end
   * had it, and it was asked for to remove such
   */
  readonly outcome: 'there' | 'new' | 'moved' | 'removed' | 'failed';
  /** why it failed */
  readonly error?: unknown;
}

/** A name that cannot be one at the other end. */
export interface SkippedName {
  readonly name: string;
  readonly reason: string;
}

export interface AllResult {
  readonly images: readonly NamedOutcome[];
  readonly skipped: readonly SkippedName[];
}

export interface AllOptions extends Abortable {
  /** only names that fit one of these; `*` stands for any characters. They are compared with complete names */
  filter?: readonly string[] | undefined;
  /** remove names at the other end that this end has not */
  prune?: boolean | undefined;
  /** change nothing, and tell what would be done */
  dryRun?: boolean | undefined;
  onOutcome?: ((outcome: NamedOutcome) => void) | undefined;
}

/**
 * The tags that are names of images, by the names that a store has for them, and the others. Of several tags for one
 * name the one that is written in full counts.
 */
export function namesOfTags(tags: readonly string[]): { named: Map<string, string>; skipped: SkippedName[] } {
  const named = new Map<string, string>();
  const skipped: SkippedName[] = [];
  const complete = new Set(tags.filter((tag) => nameOfTag(tag) === tag));
  for (const tag of tags) {
    const name = nameOfTag(tag);
    if (typeof name !== 'string') skipped.push({ name: tag, reason: name.reason });
    else if (name !== tag && (complete.has(name) || named.has(name)))
      skipped.push({ name: tag, reason: `the tag ${named.get(name) ?? name} is the same name` });
    else named.set(name, tag);
  }
  return { named, skipped };
}

/** @returns why it is none */
function nameOfTag(tag: string): string | { reason: string } {
  try {
    const reference = parseImageReference(tag);
    // The tag of a pull that was given none: the reference as it was written, with what is no part of the name.
    if (reference.text !== tag) return { reason: 'it says where an image is, and is not its name alone' };
    return storedNameOf(reference);
  } catch (error) {
    if (error instanceof FormatError) return { reason: error.reason };
    throw error;
  }
}
