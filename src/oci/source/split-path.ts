import { existsSync } from 'node:fs';

/**
 * A path, and the name of an image in what is there. The path ends at the first colon, as skopeo has it: names of
 * images have colons and slashes themselves. When nothing of that name is there, the path may have colons itself, and
 * ends at the first one before which there is something.
 */
export function splitPath(rest: string): { path: string; name: string | undefined } {
  const colons = [...rest.matchAll(/:/g)].map(({ index }) => index);
  const end = [...colons, rest.length].find((colon) => existsSync(rest.slice(0, colon))) ?? colons[0] ?? rest.length;
  return { path: rest.slice(0, end), name: rest.slice(end + 1) || undefined };
}
