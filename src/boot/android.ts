// Android boot images in `/boot`: `aboot-VERSION.img`, with `vbmeta-VERSION.img` beside it.
// Source: Android Open Source Project, "Boot image header", version 2.
import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Directory } from '../tree/tree.js';
import type { BootEntry, BootFiles } from './boot-entry.js';
import { directoryIfAny, regularFile, sortedEntries } from './lookup.js';
import { hasPeSection, type ReadPart } from './portable-executable.js';

const MAGIC = 'ANDROID!';
const HEADER = 1660;

/**
 * The one Android boot image of a system; or a unified kernel image in its place.
 * @throws FormatError `BOOT_ENTRY` when there are several, or one that cannot be read, or a vbmeta image alone
 */
export function androidImage(root: Directory, files: BootFiles): Extract<BootEntry, { kind: 'android' }> | undefined {
  const boot = directoryIfAny(root, ['boot']);
  const found: ByteString[] = [];
  for (const [name, node] of sortedEntries(boot)) {
    const version = versionIn(name, 'aboot-');
    if (version === undefined) continue;
    if (version === '') throw bad(name, 'has no kernel version in its name');
    const isAndroid = files.parts(regularFile(node, ['boot', name]), (read) => check(read, name));
    const vbmeta = boot?.entries.get(`vbmeta-${version}.img`);
    if (vbmeta !== undefined) regularFile(vbmeta, ['boot', `vbmeta-${version}.img`]);
    if (vbmeta !== undefined && !isAndroid) throw bad(name, 'is a unified kernel image and cannot have a vbmeta image');
    found.push(`boot/${name}`);
  }
  for (const [name] of sortedEntries(boot)) {
    const version = versionIn(name, 'vbmeta-');
    if (version !== undefined && boot?.entries.get(`aboot-${version}.img`) === undefined)
      throw bad(name, 'belongs to an Android boot image that is not there');
  }
  if (found.length > 1)
    throw new FormatError(
      'BOOT_ENTRY',
      `there are ${found.length} Android boot images and only one can be: ${found.map(showBytes).join(', ')}`,
    );
  return found[0] === undefined ? undefined : { kind: 'android', path: found[0] };
}

function versionIn(name: ByteString, prefix: string): ByteString | undefined {
  return name.length >= prefix.length + 4 && name.startsWith(prefix) && name.endsWith('.img')
    ? name.slice(prefix.length, -4)
    : undefined;
}

/** @returns whether it is one; the other thing that can be there is a unified kernel image */
function check(read: ReadPart, name: ByteString): boolean {
  if (magic(read) !== MAGIC) {
    for (const section of ['.linux', '.initrd'])
      if (!hasPeSection(read, section)) throw bad(name, `has no section ${section}`);
    return false;
  }
  const header = read(0, HEADER);
  const [pageSize, version, headerSize] = [header.readUInt32LE(36), header.readUInt32LE(40), header.readUInt32LE(1644)];
  if (version !== 2) throw bad(name, `is an Android boot image of version ${version}; only 2 is known`);
  if (pageSize === 0 || headerSize < HEADER || headerSize > pageSize)
    throw bad(name, 'has an Android boot header that contradicts itself');
  return true;
}

function magic(read: ReadPart): string {
  try {
    return read(0, MAGIC.length).toString('latin1');
  } catch (error) {
    if (error instanceof FormatError && error.code === 'SHORT_FILE') return '';
    throw error;
  }
}

function bad(name: ByteString, problem: string): FormatError {
  return new FormatError('BOOT_ENTRY', `/boot/${showBytes(name)} ${problem}`);
}
