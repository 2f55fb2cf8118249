// Where static deltas are, below a repository. In their names ids are base64, with _ for / and without padding.
import type { Checksum } from '../object/checksum.js';

/** The folder of a delta, relative to the repository. @param from undefined: it needs no base */
export function deltaFolder(from: Checksum | undefined, to: Checksum): string {
  const [first, second] = from === undefined ? [to, undefined] : [from, to];
  const name = inBase64(first);
  return `deltas/${name.slice(0, 2)}/${name.slice(2)}${second === undefined ? '' : `-${inBase64(second)}`}`;
}

/** The file that lists the deltas which make a commit. */
export function deltaIndexPath(to: Checksum): string {
  const name = inBase64(to);
  return `delta-indexes/${name.slice(0, 2)}/${name.slice(2)}.index`;
}

function inBase64(id: Checksum): string {
  return Buffer.from(id, 'hex').toString('base64').replaceAll('/', '_').replaceAll('=', '');
}
