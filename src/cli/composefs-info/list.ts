import type { ByteString } from '../../bytes.js';
import { escapePath } from '../../erofs/dumpfile/escape.js';
import { walk } from '../../erofs/dumpfile/print.js';
import { objectPath } from '../../fsverity/object-id.js';
import type { Content, Directory, Node } from '../../tree/tree.js';

/**
 * One line for each name but the root's: directories end in a slash, a symlink is followed by its target and a file by
 * the path of its content in the store. Further names of an inode stand alone.
 */
export function* listLines(root: Directory): Generator<ByteString> {
  const seen = new Set<Node>();
  for (const { path, node } of walk(root)) {
    if (node === root) continue;
    yield `${escape(path)}${seen.has(node) ? '' : details(node)}\n`;
    seen.add(node);
  }
}

/** Where files have their content in the store, as the image says; paths can be there more than once. */
export function* payloadsOf(root: Directory): Generator<ByteString> {
  for (const { node } of walk(root)) {
    const payload = node.kind === 'regular' ? payloadOf(node.content) : undefined;
    if (payload !== undefined) yield payload;
  }
}

function details(node: Node): ByteString {
  if (node.kind === 'directory') return '/\t';
  if (node.kind === 'symlink') return `\t-> ${escape(node.target)}`;
  const payload = node.kind === 'regular' ? payloadOf(node.content) : undefined;
  return payload === undefined ? '' : `\t@ ${escape(payload)}`;
}

function payloadOf(content: Content): ByteString | undefined {
  if (content.kind === 'object') return objectPath(content.id);
  return content.kind === 'external' ? content.payload : undefined;
}

/** As in dumpfiles, but spaces may stay: nothing follows that they would have to be told from. */
function escape(bytes: ByteString): ByteString {
  return bytes.split(' ').map(escapePath).join(' ');
}
