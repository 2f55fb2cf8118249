import type { ByteString } from '../../bytes.js';
import { escapeField, escapePath, escapeXattr } from '../../erofs/dumpfile/escape.js';
import { contentFields } from '../../erofs/dumpfile/print.js';
import type { EntryType } from '../../layer/entry.js';
import type { PlacedEntry } from './stored-layer.js';
import { deviceNumber } from '../../tree/entry-node.js';

const TYPE_BITS: Record<Exclude<EntryType, 'hardlink'>, number> = {
  file: 0o100000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  directory: 0o040000,
  fifo: 0o010000,
};

/**
 * The line `cfsctl oci layer --dumpfile` prints for one tar entry: composefs-dump(5) with one link each, whiteouts and
 * hardlinks as the tar has them.
 */
export function layerDumpLine({ entry, content }: PlacedEntry): string {
  const path = escapePath(rooted(entry.path));
  if (entry.type === 'hardlink') return `${path} 0 @120000 - - - - 0.0 ${escapePath(rooted(entry.linkPath))} - -\n`;
  const mode = (TYPE_BITS[entry.type] | entry.mode).toString(8);
  const size = entry.type === 'symlink' ? entry.linkPath.length : entry.size;
  const rdev = entry.type === 'char' || entry.type === 'block' ? deviceNumber(entry) : 0;
  const data = entry.type === 'symlink' ? `${escapeField(entry.linkPath)} - -` : contentFields(content);
  const xattrs = [...entry.xattrs.keys()]
    .sort()
    .map((name) => ` ${escapeXattr(name)}=${escapeXattr(entry.xattrs.get(name) ?? '')}`);
  return (
    `${path} ${size} ${mode} 1 ${entry.uid} ${entry.gid} ${rdev} ${entry.mtimeSec}.${entry.mtimeNsec} ` +
    `${data}${xattrs.join('')}\n`
  );
}

function rooted(path: ByteString): ByteString {
  const bare = path.replace(/\/+$/, '');
  return bare.startsWith('/') ? bare : `/${bare}`;
}
