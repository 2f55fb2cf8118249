import { showBytes } from '../bytes.js';
import type { Algorithm } from '../fsverity/algorithm.js';
import { verityDigest } from '../fsverity/digest.js';
import type { ObjectId } from '../fsverity/object-id.js';
import type { Checksum } from './object/checksum.js';
import { parseCommit, type Commit } from './object/commit.js';
import { parseDirMeta } from './object/dirmeta.js';
import { parseDirTree } from './object/dirtree.js';
import { isSymlink, type FileHeader } from './object/file-header.js';
import type { ObjectKind } from './object/kind.js';
import type { Variant } from './gvariant/variant.js';
import { isWhole, type CommitForm } from './form.js';
import { selected, selectionOf } from './selection.js';
import type { CommitObjects } from './stream/commit-objects.js';
import type { StoredCommit } from './stream/read-commit.js';

/** What cfsctl prints of a commit. */
export function commitText(id: Checksum, { parent, timestamp, tree, meta, subject, body }: Commit): string {
  const lines = [
    `commit  ${id}`,
    ...(parent === undefined ? [] : [`parent  ${parent}`]),
    `date    ${showTime(timestamp)}`,
    `tree    ${tree}`,
    `dirmeta ${meta}`,
    ...(subject === '' ? [] : ['', subject]),
    ...(body === '' ? [] : ['', body]),
  ];
  return `${lines.join('\n')}\n`;
}

/** The metadata of a commit, a line for each value. */
export function metadataText({ metadata }: Commit): string {
  return metadata.map(([key, value]) => `${key}=${showValue(value)}\n`).join('');
}

/** One value that the metadata of a commit has, as `metadataText` shows it, and of which type it is. */
export interface MetadataValue {
  readonly key: string;
  readonly type: string;
  readonly value: string;
}

export function metadataList({ metadata }: Commit): MetadataValue[] {
  return metadata.map(([key, value]) => ({ key, type: value.type.signature, value: showValue(value) }));
}

/** All that a commit stream has. @param algorithm of the repository, for the fs-verity digests of content */
export function commitJson(stored: StoredCommit, algorithm: Algorithm): unknown {
  const { id, stream, image, objects, form } = stored;
  const commit = parseCommit(objects.metadata('commit', id));
  return {
    commit: id,
    stream,
    image: image ?? null,
    parent: commit.parent ?? null,
    subject: commit.subject,
    body: commit.body,
    timestamp: Number(commit.timestamp),
    date: showTime(commit.timestamp),
    tree: commit.tree,
    dirmeta: commit.meta,
    metadata: metadataList(commit),
    ...(isWhole(form) ? {} : form),
    objects: Array.from(describeObjects(stored, algorithm), (object) =>
      object.kind === 'file' ? { ...object, object: object.object ?? null } : object,
    ),
  };
}

/** One object of a commit. */
export interface CommitObject {
  readonly id: Checksum;
  readonly kind: ObjectKind;
  /** bytes of the object itself, of a file those of its content */
  readonly size: number;
  /** of a file or dirmeta, and so are the following ones */
  readonly uid?: number;
  readonly gid?: number;
  /** octal */
  readonly mode?: string;
  /** values in hex */
  readonly xattrs?: { name: string; value: string }[];
  /** of a symlink */
  readonly target?: string;
  /** fs-verity digest of the content of a file */
  readonly digest?: string;
  /** whether the content of a file is in the commit stream, or an object of the repository */
  readonly where?: 'inline' | 'object';
  /** which one */
  readonly object?: ObjectId;
}

/** All objects of a commit, sorted by their ids. @param algorithm of the repository */
export function* describeObjects(
  { id, objects, form }: StoredCommit,
  algorithm: Algorithm,
): Generator<CommitObject, void, void> {
  const kinds = [...kindsOf(objects, parseCommit(objects.metadata('commit', id)), form)];
  for (const [object, kind] of kinds.sort(([one], [other]) => (one < other ? -1 : 1)))
    yield describe(objects, object, kind, algorithm);
}

/** What the objects of a commit are, which only shows where they are referred to. */
function kindsOf(objects: CommitObjects, { tree, meta }: Commit, form: CommitForm): Map<Checksum, ObjectKind> {
  const kinds = new Map<Checksum, ObjectKind>([
    [objects.commit, 'commit'],
    [meta, 'dirmeta'],
  ]);
  const pending = [{ tree, selection: selectionOf(form) }];
  const whole = new Set<Checksum>();
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (whole.has(at.tree)) continue;
    if (at.selection === 'all') whole.add(at.tree);
    kinds.set(at.tree, 'dirtree');
    const { files, folders } = selected(parseDirTree(objects.metadata('dirtree', at.tree)), at.selection, '');
    for (const { id } of files) kinds.set(id, 'file');
    for (const folder of folders) {
      kinds.set(folder.meta, 'dirmeta');
      pending.push(folder);
    }
  }
  return kinds;
}

function describe(objects: CommitObjects, id: Checksum, kind: ObjectKind, algorithm: Algorithm): CommitObject {
  if (kind === 'dirmeta') {
    const bytes = objects.metadata(kind, id);
    return { id, kind, size: bytes.length, ...describeMetadata(parseDirMeta(bytes)) };
  }
  if (kind !== 'file') return { id, kind, size: objects.metadata(kind, id).length };
  const { header, size, object, inline } = objects.file(id);
  return {
    id,
    kind,
    size: Number(size),
    ...describeMetadata(header),
    ...(header.target === '' ? {} : { target: showBytes(header.target) }),
    ...(isSymlink(header) ? {} : { digest: object ?? verityDigest(inline, algorithm).toString('hex') }),
    where: object === undefined ? 'inline' : 'object',
    ...(object === undefined ? {} : { object }),
  };
}

function describeMetadata({
  uid,
  gid,
  mode,
  xattrs,
}: Omit<FileHeader, 'target'>): Pick<CommitObject, 'uid' | 'gid' | 'mode' | 'xattrs'> {
  return {
    uid,
    gid,
    mode: mode.toString(8).padStart(7, '0'),
    xattrs: [...xattrs].map(([name, value]) => ({
      name: showBytes(name.replace(/\0$/, '')),
      value: Buffer.from(value, 'latin1').toString('hex'),
    })),
  };
}

function showValue(value: Variant): string {
  switch (value.type.signature) {
    case 's':
      return value.string();
    case 'b':
      return `${value.boolean()}`;
    case 'u':
      return `${value.number()}`;
    case 't':
      return `${value.bigint()}`;
    case 'as':
      return `[${Array.from(value, (text) => text.string()).join(', ')}]`;
    case 'ay':
      return value.bytes.toString('hex');
    default:
      return `<${value.type.signature}:${value.bytes.toString('hex')}>`;
  }
}

const DAY = 86_400;
/** Days after which the calendar, and the time, is the same again. */
const CALENDAR = 146_097;
/** Years that cfsctl's calendar has. */
const YEARS = [-262_143, 262_142] as const;

/** `2009-02-13 23:31:30 UTC`; the number where cfsctl's calendar ends. The seconds are signed. */
function showTime(timestamp: bigint): string {
  const seconds = BigInt.asIntN(64, timestamp);
  // The calendar of JavaScript ends before.
  const cycles = seconds / BigInt(CALENDAR * DAY);
  const date = new Date(Number(seconds - cycles * BigInt(CALENDAR * DAY)) * 1000);
  const year = BigInt(date.getUTCFullYear()) + cycles * 400n;
  if (year < YEARS[0] || year > YEARS[1]) return `${timestamp}`;
  const shown =
    year < 0n || year > 9999n ? `${year < 0n ? '-' : '+'}${year < 0n ? -year : year}` : `${year}`.padStart(4, '0');
  return `${shown}${date.toISOString().replace(/^[+-]?\d+(-\d\d-\d\d)T(.*)\..*/, '$1 $2')} UTC`;
}
