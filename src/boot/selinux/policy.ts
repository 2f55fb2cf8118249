import { bytesOf, showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { literalPrefix, translateRegex } from './regex.js';

/** The letters for types of files in file_contexts and, as the last byte, in what its expressions are matched with. */
export type FileType = '-' | 'b' | 'c' | 'd' | 'l' | 'p' | 's';

/**
 * Reads a file of a policy by its name.
 * @returns undefined when there is none
 */
export type ReadPolicyFile = (name: string) => Buffer | undefined;

const NO_LABEL = '<<none>>';

interface Spec {
  label: ByteString;
  /** what the path and the letter of its type must match; compiled when it is first asked */
  pattern: string;
  regex: RegExp | undefined;
  /** for errors */
  place: string;
}

/**
 * The file contexts of an SELinux policy: which label a path gets. The last line that matches wins, `.local` and
 * `.homedirs` after the policy's own. Format: selabel_file(5), file_contexts(5), as cfsctl 0.9.4 reads it.
 */
export class FileContexts {
  /** In order of precedence. */
  readonly #specs: readonly Spec[];
  /** By the text that every matching path begins with, indexes into the specs, ascending. */
  readonly #byPrefix = new Map<ByteString, number[]>();
  readonly #prefixLengths: readonly number[];
  /** Specs of one path only, by that path. */
  readonly #exact = new Map<ByteString, number[]>();
  readonly #aliases = new Map<ByteString, ByteString>();

  /**
   * @throws FormatError `SELINUX_POLICY` for a missing file_contexts, and for lines that cannot be read, with their
   *   place
   */
  constructor(read: ReadPolicyFile) {
    const lines = ['file_contexts', 'file_contexts.local', 'file_contexts.homedirs'].flatMap((name) => {
      const content = read(name);
      if (content === undefined && name === 'file_contexts') throw bad('the SELinux policy has no file_contexts');
      return content === undefined ? [] : fieldsOf(content, name);
    });
    const specs: Spec[] = [];
    for (const line of lines.reverse()) this.#add(line, specs);
    this.#specs = specs;
    this.#prefixLengths = [...new Set([...this.#byPrefix.keys()].map((prefix) => prefix.length))].sort((a, b) => a - b);
    for (const name of ['file_contexts.subs', 'file_contexts.subs_dist']) this.#addAliases(read(name), name);
  }

  /** The path whose label a path gets, where it is not its own. */
  alias(path: ByteString): ByteString | undefined {
    return this.#aliases.get(path);
  }

  /**
   * @param path absolute
   * @returns undefined for files that get no label
   * @throws FormatError `SELINUX_POLICY` for an expression that is not understood
   */
  label(path: ByteString, type: FileType): ByteString | undefined {
    const key = path + type;
    let best = this.#firstMatch(this.#exact.get(path), key, this.#specs.length);
    for (const length of this.#prefixLengths) {
      if (length > path.length) break;
      best = this.#firstMatch(this.#byPrefix.get(path.slice(0, length)), key, best);
    }
    const label = this.#specs[best]?.label;
    return label === NO_LABEL ? undefined : label;
  }

  #firstMatch(candidates: readonly number[] | undefined, key: ByteString, best: number): number {
    for (const index of candidates ?? []) {
      if (index >= best) break;
      const spec = this.#specs[index] as Spec;
      spec.regex ??= compile(spec);
      if (spec.regex.test(key)) return index;
    }
    return best;
  }

  #add({ fields, place }: Line, specs: Spec[]): void {
    const [pattern, second] = fields as [string, string | undefined];
    if (second === undefined) throw bad(`${place}: no label`);
    let [label, type] = [second, '.'];
    if (second.startsWith('-')) {
      if (!/^-[-bcdpls]$/.test(second)) throw bad(`${place}: no type of file is called ${second}`);
      if (fields[2] === undefined) throw bad(`${place}: no label`);
      [label, type] = [fields[2], second.slice(1)];
    }
    if (fields.length > (type === '.' ? 2 : 3)) throw bad(`${place}: text after the label`);
    const index = specs.push({ label, pattern: `^(${pattern})${type}$`, regex: undefined, place }) - 1;
    const { prefix, exact } = literalPrefix(pattern);
    const map = exact ? this.#exact : this.#byPrefix;
    const known = map.get(prefix);
    if (known) known.push(index);
    else map.set(prefix, [index]);
  }

  #addAliases(content: Buffer | undefined, name: string): void {
    for (const { fields, place } of content === undefined ? [] : fieldsOf(content, name)) {
      const [alias, original, rest] = fields as [string, string | undefined, string | undefined];
      if (original === undefined) throw bad(`${place}: no path that it stands for`);
      if (rest !== undefined) throw bad(`${place}: text after the second path`);
      this.#aliases.set(alias, original);
    }
  }
}

interface Line {
  fields: ByteString[];
  place: string;
}

/** The words of the lines that say something. */
function fieldsOf(content: Buffer, name: string): Line[] {
  return content
    .toString('utf8')
    .split('\n')
    .map((line, index) => ({ fields: line.trim().split(/\s+/).map(bytesOf), place: `${name}, line ${index + 1}` }))
    .filter(({ fields: [first = ''] }) => first !== '' && !first.startsWith('#'));
}

function compile({ pattern, place }: Spec): RegExp {
  try {
    return new RegExp(translateRegex(pattern), 's');
  } catch (cause) {
    throw bad(`${place}: ${showBytes(pattern)} is no regular expression that is understood here`, cause);
  }
}

function bad(message: string, cause?: unknown): FormatError {
  return new FormatError('SELINUX_POLICY', message, { cause });
}
