import type { EntryType, TarEntry } from '../../src/layer/entry.js';
import { unescapeField } from '../../src/erofs/dumpfile/escape.js';
import type { FileContent } from '../../src/tree/entry-node.js';

/** A tar entry, an empty file where nothing else is said. */
export function entry(some: Partial<TarEntry> & { path: string }): TarEntry {
  return {
    type: 'file',
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeSec: 0n,
    mtimeNsec: 0,
    linkPath: '',
    devMajor: 0,
    devMinor: 0,
    xattrs: new Map(),
    offset: 0,
    ...some,
  };
}

const TYPES: Record<string, EntryType> = {
  '1': 'fifo',
  '2': 'char',
  '4': 'directory',
  '6': 'block',
  '10': 'file',
  '12': 'symlink',
};

/** The tar entries behind what `cfsctl oci layer --dumpfile` prints, in their order. */
export function* dumpedEntries(dump: Buffer): Generator<[TarEntry, FileContent]> {
  for (const line of dump.toString('latin1').trimEnd().split('\n')) {
    if (line === '') continue;
    const fields = line.split(' ');
    const text = (index: number): string => (fields[index] === '-' ? '' : unescapeField(fields[index]!, index));
    const number = (index: number): number => Number(fields[index]) || 0;
    const [sec, nsec] = fields[7]!.split('.');
    const type = fields[2]!.startsWith('@') ? 'hardlink' : TYPES[fields[2]!.slice(0, -4)]!;
    const rdev = number(6);
    const one = entry({
      path: text(0),
      type,
      mode: parseInt(fields[2]!.slice(-4), 8),
      uid: number(4),
      gid: number(5),
      size: type === 'file' ? number(1) : 0,
      mtimeSec: BigInt(sec!),
      mtimeNsec: Number(nsec),
      linkPath: type === 'hardlink' || type === 'symlink' ? text(8) : '',
      devMajor: (rdev >>> 8) & 0xfff,
      devMinor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
      xattrs: new Map(fields.slice(11).map((field) => field.split('=', 2).map(unescapeField) as [string, string])),
    });
    yield [one, contentOf(type, text(9), fields[10]!)];
  }
}

function contentOf(type: EntryType, inline: string, digest: string): FileContent {
  if (type === 'file' && digest !== '-') return { kind: 'object', id: digest };
  return inline === '' ? { kind: 'empty' } : { kind: 'inline', bytes: Buffer.from(inline, 'latin1') };
}
