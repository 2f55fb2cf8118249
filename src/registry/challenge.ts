/** How a server wants to be told who asks. Names of parameters are in lower case. */
export interface Challenge {
  /** in lower case: `bearer`, `basic` */
  scheme: string;
  parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const MOST = 16;

/**
 * Reads WWW-Authenticate: one or several headers with one or several challenges. What breaks the grammar ends the
 * reading.
 */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  return headers.flatMap((header) => parseHeader(header)).slice(0, MOST);
}

function parseHeader(text: string): Challenge[] {
  const challenges: Challenge[] = [];
  let parameters = new Map<string, string>();
  let at = 0;
  const skip = (pattern: RegExp): void => {
    pattern.lastIndex = at;
    at += pattern.exec(text)?.[0].length ?? 0;
  };
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text) ?? undefined;
    at += found?.[0].length ?? 0;
    return found;
  };
  for (;;) {
    skip(/[\s,]*/y);
    const word = take(TOKEN)?.[0];
    if (word === undefined) return challenges;
    skip(/\s*/y);
    if (text[at] !== '=' || challenges.length === 0) {
      parameters = new Map();
      challenges.push({ scheme: word.toLowerCase(), parameters });
      continue;
    }
    at++;
    skip(/\s*/y);
    const value = take(QUOTED)?.[1]?.replace(/\\(.)/g, '$1') ?? take(TOKEN)?.[0];
    if (value === undefined) return challenges;
    // The first of two counts, as in other programs.
    if (!parameters.has(word.toLowerCase())) parameters.set(word.toLowerCase(), value);
  }
}
