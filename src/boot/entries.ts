// What a system can be booted with: entries for boot loaders, unified kernel images, kernels beside their modules, and
// Android boot images. Where they are and what is refused: as composefs-boot 0.9.4.
import { isUtf8 } from 'node:buffer';
import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Directory, Node, Regular } from '../tree/tree.js';
import { androidImage } from './android.js';
import type { BootEntry, BootFiles } from './boot-entry.js';
import { directoryIfAny, find, regularFile, sortedEntries } from './lookup.js';
import { LoaderEntry } from './loader-entry.js';

const LOADER_ENTRIES = ['boot', 'loader', 'entries'];
const MODULES = ['usr', 'lib', 'modules'];

/**
 * All boot entries of a system's tree, those of boot loaders first; sorted by name.
 * @throws FormatError `BOOT_ENTRY` for one that names what is not there or that cannot be read, `NOT_BOOTABLE` for a
 *   place of theirs that is not a directory; what `files` throws
 */
export function bootEntries(root: Directory, files: BootFiles): BootEntry[] {
  const entries: BootEntry[] = [...loaderEntries(root, files), ...efiPrograms(root), ...kernels(root)];
  const android = androidImage(root, files);
  if (android === undefined) return entries;
  if (entries.some((entry) => entry.kind !== 'efi' || !entry.addon))
    throw new FormatError('BOOT_ENTRY', `/${showBytes(android.path)} cannot be there together with other boot entries`);
  return [...entries, android];
}

function* loaderEntries(root: Directory, files: BootFiles): Generator<BootEntry> {
  for (const [name, node] of sortedEntries(directoryIfAny(root, LOADER_ENTRIES))) {
    if (!name.endsWith('.conf')) continue;
    const text = new LoaderEntry(files.text(regularFile(node, [...LOADER_ENTRIES, name])));
    const named = text.files().map((path) => [path, regularFile(find(root, names(path)), names(path))] as const);
    yield { kind: 'loader', name, text, files: new Map(named) };
  }
}

/** The names that a path in an entry consists of. */
function names(path: ByteString): ByteString[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || parts.includes('..') || /\/$|\0/.test(path))
    throw new FormatError('BOOT_ENTRY', `"${showBytes(path)}" in a boot loader entry is no path of a file`);
  return parts;
}

function* efiPrograms(root: Directory): Generator<BootEntry> {
  yield* efiBelow(directoryIfAny(root, ['boot', 'EFI', 'Linux']), '');
  yield* efiBelow(directoryIfAny(root, ['boot', 'loader', 'addons']), '');
  for (const [, modules] of sortedEntries(directoryIfAny(root, MODULES)))
    if (modules.kind === 'directory') yield* efiBelow(modules, '');
}

function* efiBelow(directory: Directory | undefined, above: ByteString): Generator<BootEntry> {
  for (const [name, node] of sortedEntries(directory)) {
    const path = `${above}${name}`;
    if (node.kind === 'directory') yield* efiBelow(node, `${path}/`);
    else if (name.endsWith('.efi'))
      yield { kind: 'efi', path, file: regularFile(node, [path]), addon: name.endsWith('.addon.efi') };
  }
}

function* kernels(root: Directory): Generator<BootEntry> {
  const osRelease = ifRegular(find(root, ['usr', 'lib', 'os-release']));
  for (const [version, modules] of sortedEntries(directoryIfAny(root, MODULES))) {
    if (modules.kind !== 'directory') continue;
    const vmlinuz = ifRegular(modules.entries.get('vmlinuz'));
    if (vmlinuz === undefined) continue;
    if (!isUtf8(Buffer.from(version, 'latin1')))
      throw new FormatError('BOOT_ENTRY', `the kernel version ${showBytes(version)} is not UTF-8 text`);
    yield { kind: 'kernel', version, vmlinuz, initramfs: ifRegular(modules.entries.get('initramfs.img')), osRelease };
  }
}

function ifRegular(node: Node | undefined): Regular | undefined {
  return node?.kind === 'regular' ? node : undefined;
}
