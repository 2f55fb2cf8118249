import type { ByteString } from '../../bytes.js';

const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7f',
  blank: '\\t ',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};
/** `\s` of JavaScript knows more than these. */
const SPACE = POSIX_CLASSES['space'] as string;
const SPECIAL = '.*+?()[]{}|^$\\';
const QUANTIFIER = '*?{';
/** Letters after a backslash that mean the same to PCRE, to Rust and here; digits are references to groups. */
const SHARED_ESCAPES = /[dDwWbBnrtfv0-9]/;

/**
 * Translates the regular expression of a file_contexts line, which is PCRE, for paths as bytes.
 * @returns the source for `RegExp` with the flag `s`
 * @throws SyntaxError for what has another meaning here, or none
 */
export function translateRegex(pattern: ByteString): string {
  let source = '';
  for (let at = 0; at < pattern.length; ) {
    const part = partAt(pattern, at);
    source += part.source;
    at = part.end;
  }
  return source;
}

/**
 * What every path that matches begins with.
 * @returns `exact` when nothing else matches
 */
export function literalPrefix(pattern: ByteString): { prefix: ByteString; exact: boolean } {
  // Alternatives need not begin alike, and a group's may not be there at all.
  if (pattern.includes('|') || pattern.startsWith('(?')) return { prefix: '', exact: false };
  let prefix = '';
  for (let at = 0; at < pattern.length; ) {
    let letter = pattern[at] as string;
    let end = at + 1;
    if (letter === '\\') {
      letter = pattern[end++] ?? '';
      if (/[A-Za-z0-9<>]/.test(letter)) return { prefix, exact: false };
    } else if (SPECIAL.includes(letter)) {
      return { prefix, exact: false };
    }
    if (QUANTIFIER.includes(pattern[end] ?? ' ')) return { prefix, exact: false };
    prefix += letter;
    if (pattern[end] === '+') return { prefix, exact: false };
    at = end;
  }
  return { prefix, exact: true };
}

interface Part {
  source: string;
  end: number;
}

function partAt(pattern: ByteString, at: number): Part {
  switch (pattern[at]) {
    case '\\':
      return escapeAt(pattern, at, false);
    case '[':
      return classAt(pattern, at);
    case '(': {
      const kind = /^\(\?(?:<?[=!]|:)?/.exec(pattern.slice(at, at + 4))?.[0];
      if (kind === '(?') throw unsupported(pattern, 'a group of this kind');
      return { source: kind ?? '(', end: at + (kind?.length ?? 1) };
    }
    default:
      return { source: pattern[at] as string, end: at + 1 };
  }
}

function escapeAt(pattern: ByteString, at: number, inClass: boolean): Part {
  const letter = pattern[at + 1];
  if (letter === undefined) throw unsupported(pattern, 'a backslash at the end');
  const end = at + 2;
  if (letter === 's') return { source: inClass ? SPACE : `[${SPACE}]`, end };
  if (letter === 'S' && !inClass) return { source: `[^${SPACE}]`, end };
  if (letter === 'x') {
    const digits = /^[0-9A-Fa-f]{2}/.exec(pattern.slice(end, end + 2));
    if (digits) return { source: `\\x${digits[0]}`, end: end + 2 };
  }
  const isLetter = /[A-Za-z0-9]/.test(letter);
  if (
    letter === '<' ||
    letter === '>' ||
    (isLetter && (!SHARED_ESCAPES.test(letter) || (inClass && /[bB0-9]/.test(letter))))
  ) {
    throw unsupported(pattern, `\\${letter}`);
  }
  return { source: isLetter || /[!-/:-@[-`{-~]/.test(letter) ? `\\${letter}` : letter, end };
}

function classAt(pattern: ByteString, start: number): Part {
  const negated = pattern[start + 1] === '^';
  let source = negated ? '[^' : '[';
  const first = start + source.length;
  for (let at = first; at < pattern.length; ) {
    const letter = pattern[at] as string;
    if (letter === ']' && at > first) return { source: `${source}]`, end: at + 1 };
    if (letter === '\\') {
      const part = escapeAt(pattern, at, true);
      source += part.source;
      at = part.end;
    } else if (letter === '[') {
      const name = /^\[:([a-z]+):\]/.exec(pattern.slice(at, at + 12));
      const members = name && POSIX_CLASSES[name[1] as string];
      if (!name || members === undefined) throw unsupported(pattern, 'a class in a class');
      source += members;
      at += name[0].length;
    } else {
      if ('&-~'.includes(letter) && pattern[at + 1] === letter) throw unsupported(pattern, 'an operation on classes');
      source += letter === ']' ? '\\]' : letter;
      at++;
    }
  }
  throw unsupported(pattern, 'a class without end');
}

function unsupported(pattern: ByteString, what: string): SyntaxError {
  return new SyntaxError(`${what} in ${pattern}`);
}
