// What containers-storage makes of one entry of a tar.
import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Batch } from '../../layer/batch.js';
import type { EntryType, TarEntry } from '../../layer/entry.js';
import { OPAQUE, WHITEOUT } from '../../layer/whiteouts.js';
import { ENTRY_KIND } from '../../layouts.js';
import { cleanName } from '../tar-split.js';

/** How entries are unpacked, which a store's configuration and user decide. */
export interface EntryRules {
  /** opaque folders are marked for overlay mounts of users, and devices are left out */
  inUserNamespace?: boolean | undefined;
  /** the mode that everything gets; what the tar says of mode and owner goes into an xattr */
  forceMask?: number | undefined;
  /** whiteouts stay files */
  plainWhiteouts?: boolean | undefined;
}

/** What `force_mask` hides, of the layer's root as well. */
export const OVERRIDE_XATTR = 'user.containers.override_stat';
/** Labels are those of the machine that unpacks. */
const IGNORED_XATTR = 'security.selinux';
/** Fixed part of a record, in bytes; native/base/layouts.h has it. */
const HEAD = 68;
const XATTR_HEAD = 7;
/** The last time that Go's `time.Unix(0, n)` can be: later ones are taken for 1970, as those before it. */
const LATEST: Time = [9_223_372_036n, 854_775_807];
const EPOCH: Time = [0n, 0];

type Kind = keyof typeof ENTRY_KIND;
type Time = readonly [seconds: bigint, nanoseconds: number];

/**
 * Adds to a batch what is to be done with an entry; its content comes next.
 * @throws FormatError `LAYER_ROOT`, `LAYER_WHITEOUT`
 */
export function addEntry(batch: Batch, entry: TarEntry, rules: EntryRules): void {
  const path = cleanName(entry.path);
  if (path === '' && entry.type !== 'directory')
    throw problem('LAYER_ROOT', 'the root of a layer has to be a directory', entry);
  const mark = rules.plainWhiteouts === true ? undefined : whiteout(path, entry);
  if (mark !== undefined) return addMark(batch, entry, mark, rules);
  const { forceMask } = rules;
  const isDevice = entry.type === 'char' || entry.type === 'block';
  const isForced = forceMask !== undefined;
  // containers-storage leaves the folder it unpacks in as it is, unless the entry has an absolute name or one above it.
  const isOwnRoot = path === '' && !/^(?:\/|(?:\.\/+)*\.\.(?:\/|$))/.test(entry.path);
  const kind: Kind = isOwnRoot
    ? 'nothing'
    : isForced && (isDevice || entry.type === 'fifo')
      ? 'file'
      : isDevice && rules.inUserNamespace === true
        ? 'nothing'
        : entry.type;
  const xattrs: Xattr[] = [];
  for (const [name, value] of entry.xattrs) if (name !== IGNORED_XATTR) xattrs.push([name, value, false]);
  if (isForced && (kind === 'file' || kind === 'directory')) xattrs.push([OVERRIDE_XATTR, overrideOf(entry), true]);
  write(batch, entry, {
    kind,
    path,
    target: entry.type === 'hardlink' ? cleanName(entry.linkPath) : entry.linkPath,
    mode: forceMask ?? entry.mode,
    owned: !isForced,
    times: timesOf(entry),
    xattrs,
  });
}

/** The value of `OVERRIDE_XATTR`, from an entry or for a root that has none. */
export function overrideOf({ uid, gid, mode, type, devMajor, devMinor }: OverrideFacts): ByteString {
  const device = type === 'char' || type === 'block' ? `-${devMajor}-${devMinor}` : '';
  return `${uid}:${gid}:${mode.toString(8).padStart(4, '0')}:${OVERRIDE_TYPES[type]}${device}`;
}

export type OverrideFacts = Pick<TarEntry, 'uid' | 'gid' | 'mode' | 'type' | 'devMajor' | 'devMinor'>;

const OVERRIDE_TYPES: Readonly<Record<EntryType, string>> = {
  file: 'file',
  hardlink: 'file',
  symlink: 'symlink',
  char: 'char',
  block: 'block',
  directory: 'dir',
  fifo: 'pipe',
};

type Xattr = readonly [name: ByteString, value: ByteString, needed: boolean];

interface Made {
  kind: Kind;
  path: ByteString;
  target: ByteString;
  mode: number;
  owned: boolean;
  times: readonly [access: Time, modification: Time];
  xattrs: readonly Xattr[];
}

/** Where a mark's device or xattr goes; undefined for what is no mark. */
function whiteout(path: ByteString, entry: TarEntry): { kind: 'whiteout' | 'opaque'; path: ByteString } | undefined {
  const slash = path.lastIndexOf('/');
  const name = path.slice(slash + 1);
  if (!name.startsWith(WHITEOUT)) return undefined;
  if (name === OPAQUE) return { kind: 'opaque', path };
  const hidden = name.slice(WHITEOUT.length);
  if (hidden === '' || hidden === '.' || hidden === '..')
    throw problem('LAYER_WHITEOUT', 'a whiteout that hides nothing that can have a name', entry);
  return { kind: 'whiteout', path: path.slice(0, slash + 1) + hidden };
}

function addMark(
  batch: Batch,
  entry: TarEntry,
  { kind, path }: { kind: 'whiteout' | 'opaque'; path: ByteString },
  { inUserNamespace = false }: EntryRules,
): void {
  const xattrs: Xattr[] =
    kind === 'opaque' ? [[inUserNamespace ? 'user.overlay.opaque' : 'trusted.overlay.opaque', 'y', true]] : [];
  write(batch, entry, { kind, path, target: '', mode: 0, owned: true, times: timesOf(entry), xattrs });
}

/**
 * What is set in the end. A file was not read before it was changed; but of a folder the tar has to say when it was, or
 * it never was. Only symlinks have times before 1970.
 */
function timesOf({ type, mtimeSec, mtimeNsec, atime }: TarEntry): readonly [access: Time, modification: Time] {
  const modification: Time = [mtimeSec, mtimeNsec];
  const said: Time | undefined = atime === undefined ? undefined : [atime.sec, atime.nsec];
  if (type === 'directory') return [settled(said ?? EPOCH), settled(modification)];
  const access = said === undefined || isBefore(said, modification) ? modification : said;
  return type === 'symlink' ? [access, modification] : [settled(access), settled(modification)];
}

function settled(time: Time): Time {
  return isBefore(time, EPOCH) || isBefore(LATEST, time) ? EPOCH : time;
}

function isBefore([seconds, nanoseconds]: Time, [than, nanosecondsThan]: Time): boolean {
  return seconds < than || (seconds === than && nanoseconds < nanosecondsThan);
}

function write(batch: Batch, entry: TarEntry, record: Made): void {
  const { kind, path, target, mode, owned, times, xattrs } = record;
  let size = HEAD + path.length + target.length;
  for (const [name, value] of xattrs) size += XATTR_HEAD + name.length + value.length;
  const { bytes, at: start } = batch.entry(size);
  let at = bytes.writeUInt8(ENTRY_KIND[kind], start);
  at = bytes.writeUInt8(owned ? 1 : 0, at);
  for (const number of [mode, entry.uid, entry.gid, entry.devMajor, entry.devMinor])
    at = bytes.writeUInt32LE(number, at);
  for (const [seconds, nanoseconds] of times) at = bytes.writeUInt32LE(nanoseconds, bytes.writeBigInt64LE(seconds, at));
  at = bytes.writeBigUInt64LE(BigInt(kind === 'file' ? entry.size : 0), at);
  at = bytes.writeBigUInt64LE(BigInt(entry.offset), at);
  for (const number of [path.length, target.length, xattrs.length]) at = bytes.writeUInt16LE(number, at);
  for (const text of [path, target]) at += bytes.write(text, at, 'latin1');
  for (const [name, value, needed] of xattrs) {
    at = bytes.writeUInt8(needed ? 1 : 0, at);
    at = bytes.writeUInt32LE(value.length, bytes.writeUInt16LE(name.length, at));
    for (const text of [name, value]) at += bytes.write(text, at, 'latin1');
  }
}

function problem(code: 'LAYER_ROOT' | 'LAYER_WHITEOUT', message: string, entry: TarEntry): FormatError {
  return new FormatError(code, message, { place: { entry: showBytes(entry.path), offset: entry.offset } });
}
