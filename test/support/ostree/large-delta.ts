import { writeFileSync } from 'node:fs';
import { deltaFolder } from '../../../src/ostree/delta/names.js';
import { encodeVariant, variantOf, type VariantValue } from '../../../src/ostree/gvariant/encode.js';
import type { Variant } from '../../../src/ostree/gvariant/variant.js';
import { sha256, type Checksum } from '../../../src/ostree/object/checksum.js';
import { encodeCommit } from '../../../src/ostree/object/commit.js';
import { encodeDirMeta } from '../../../src/ostree/object/dirmeta.js';
import { encodeDirTree } from '../../../src/ostree/object/dirtree.js';
import { encodeHeader } from '../../../src/ostree/object/file-header.js';
import { NO_XATTRS } from '../../../src/tree/tree.js';

const FILE = { uid: 0, gid: 0, mode: 0o100644, target: '', xattrs: NO_XATTRS };
/** The operation that makes an object of a slice of the payload. */
const SLICE = 'S'.charCodeAt(0);

/**
 * Writes a static delta from nothing that has its parts in it, one for each file; they are not compressed.
 * @param size of each file in bytes
 * @returns the commit
 */
export function writeInlineDelta(path: string, files: number, size: number): Checksum {
  const parts: { bytes: Buffer; objects: Buffer }[] = [];
  const entries: { name: string; id: Checksum }[] = [];
  for (let i = 0; i < files; i++) {
    const content = Buffer.alloc(size, `file ${i} `);
    const id = sha256(Buffer.concat([encodeHeader(FILE), content]));
    entries.push({ name: `file-${i}`, id });
    parts.push(part(content, [SLICE, 0, 0, leb128(size), 0], [[1, id]]));
  }
  const tree = encodeDirTree({ files: entries, folders: [] });
  const meta = encodeDirMeta({ uid: 0, gid: 0, mode: 0o40755, xattrs: NO_XATTRS });
  const [treeId, metaId] = [sha256(tree), sha256(meta)];
  const operations = [SLICE, leb128(tree.length), 0, SLICE, leb128(meta.length), leb128(tree.length)];
  parts.push(
    part(Buffer.concat([tree, meta]), operations, [
      [2, treeId],
      [3, metaId],
    ]),
  );
  const about = { metadata: [], parent: undefined, subject: '', body: '', timestamp: 1n };
  const commit = encodeCommit({ ...about, tree: treeId, meta: metaId });
  const to = sha256(commit);
  const inline = parts.map(({ bytes }, i): [string, Variant] => [
    `${deltaFolder(undefined, to)}/${i}`,
    variantOf('(yay)', [bytes[0]!, bytes.subarray(1)]),
  ]);
  const superblock: VariantValue = [
    inline,
    1n,
    Buffer.alloc(0),
    Buffer.from(to, 'hex'),
    commit,
    Buffer.alloc(0),
    parts.map(({ bytes, objects }) => [
      0,
      Buffer.from(sha256(bytes), 'hex'),
      BigInt(bytes.length),
      BigInt(bytes.length),
      objects,
    ]),
    [],
  ];
  writeFileSync(path, encodeVariant('(a{sv}tayayayaya(uayttay)a(yaytt))', superblock));
  return to;
}

/** @param objects that the operations make of the payload: a byte for the kind, and the id */
function part(
  payload: Buffer,
  operations: readonly (number | readonly number[])[],
  objects: readonly (readonly [kind: number, id: Checksum])[],
): { bytes: Buffer; objects: Buffer } {
  const mode = Buffer.alloc(12);
  mode.writeUInt32BE(FILE.mode, 8);
  const value = encodeVariant('(a(uuu)aa(ayay)ayay)', [mode, [[]], payload, Buffer.from(operations.flat())]);
  return {
    bytes: Buffer.concat([Buffer.of(0), value]),
    objects: Buffer.concat(objects.map(([kind, id]) => Buffer.from(`0${kind}${id}`, 'hex'))),
  };
}

function leb128(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) | 0x80);
  }
}
