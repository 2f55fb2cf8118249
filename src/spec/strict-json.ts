// JSON that decides what is let in: each reader has to understand the same by it, so no key may come twice.
import { printable } from '../bytes.js';

/**
 * Parses JSON that repeats no key within an object: of two values programs take different ones.
 * @throws SyntaxError
 */
export function parseStrictJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // What is open: an object with its keys so far, or an array.
  const open: (Set<string> | undefined)[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[[\]{}]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token.endsWith(':')) {
      const key = JSON.parse(token.slice(0, -1)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) throw new SyntaxError(`the key ${JSON.stringify(printable(key))} comes twice`);
      keys?.add(key);
    }
  }
  return value;
}
