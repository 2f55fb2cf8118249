/** A header of a request; the name is in lower case. */
export type Header = readonly [name: string, value: string];

/**
 * Reads `NAME:VALUE`.
 * @returns undefined for what is none: a header must not become two
 */
export function parseHeader(text: string): Header | undefined {
  const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(text) ?? [];
  return name === undefined || value === undefined ? undefined : [name.toLowerCase(), value];
}
