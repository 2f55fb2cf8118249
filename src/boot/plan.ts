import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import { COMMAND_LINE_LIMIT } from '../limits.js';
import type { Algorithm, ObjectId } from '../fsverity/object-id.js';
import type { Regular } from '../tree/tree.js';
import { namedImage } from './command-line.js';
import type { BootEntry } from './boot-entry.js';
import { LoaderEntry } from './loader-entry.js';
import { prettyName } from './os-release.js';
import { peSection } from './portable-executable.js';
import type { StoredFiles } from './stored-files.js';

/** A name for a folder and, with `.conf` or `.efi` behind it, for a file. */
const ENTRY_ID = /^(?!\.\.?$)[^/\0\n]{1,250}$/;

/** What is to be on the boot partition; paths are relative to it. */
export interface BootPlan {
  copies: ReadonlyMap<ByteString, Regular>;
  entry: { path: ByteString; bytes: Buffer } | undefined;
}

export interface PlanOptions {
  /** names the files instead of what the image calls them */
  entryId: ByteString | undefined;
  /** names the image to boot */
  imageArgument: string;
  /** more kernel arguments */
  extraArguments: readonly ByteString[];
}

/**
 * What has to be written to boot with an entry.
 * @throws BridgeError `NO_INITRAMFS`, `COMMAND_LINE` for arguments that a unified kernel image cannot be given,
 *   `UNSUPPORTED` for Android boot images, `INVALID_NAME`
 */
export function planBoot(entry: BootEntry, stored: StoredFiles, options: PlanOptions): BootPlan {
  const { entryId } = options;
  if (entryId !== undefined && !ENTRY_ID.test(entryId))
    throw new BridgeError('INVALID_NAME', `"${showBytes(entryId)}" cannot be the name of a boot entry`);
  for (const argument of options.extraArguments)
    if (!/^[^\0\n]+$/.test(argument))
      throw new BridgeError('COMMAND_LINE', `${JSON.stringify(argument)} cannot be a kernel argument`);
  switch (entry.kind) {
    case 'loader':
      return entryId === undefined
        ? loaderPlan(entry.name, entry.text, entry.files, options)
        : loaderPlan(`${entryId}.conf`, entry.text, relocate(entry.text, entry.files, entryId), options);
    case 'kernel':
      return kernelPlan(entry, stored, options);
    case 'efi':
      if (options.extraArguments.length > 0)
        throw new BridgeError(
          'COMMAND_LINE',
          'a unified kernel image has its own command line, to which nothing can be added',
        );
      return {
        copies: new Map([
          [
            `EFI/Linux/${entryId === undefined ? entry.path : entry.path.replace(/[^/]*$/, () => `${entryId}.efi`)}`,
            entry.file,
          ],
        ]),
        entry: undefined,
      };
    case 'android':
      throw new BridgeError(
        'UNSUPPORTED',
        `/${showBytes(entry.path)} goes into a partition of its own, which has to be written by other means`,
      );
  }
}

/**
 * The image that an EFI program boots.
 * @throws FormatError `BOOT_ENTRY` when it names none, `KERNEL_ARGUMENT`
 */
export function imageOfEfiProgram(
  entry: Extract<BootEntry, { kind: 'efi' }>,
  stored: StoredFiles,
  algorithm: Algorithm,
): ObjectId {
  const section = stored.parts(entry.file, (read) => peSection(read, '.cmdline', COMMAND_LINE_LIMIT));
  const line = section?.toString('latin1').replace(/\0+$/, '');
  const id = line === undefined ? undefined : namedImage(line, algorithm);
  if (id !== undefined) return id;
  throw new FormatError(
    'BOOT_ENTRY',
    `${showBytes(entry.path)} names no image of ${algorithm}: ` +
      `${line === undefined ? 'it has no command line' : `its command line is ${JSON.stringify(line.slice(0, 300))}`}`,
  );
}

function loaderPlan(
  name: ByteString,
  text: LoaderEntry,
  copies: ReadonlyMap<ByteString, Regular>,
  { imageArgument, extraArguments }: PlanOptions,
): BootPlan {
  text.nameImage(imageArgument);
  for (const argument of extraArguments) text.addArgument(argument);
  return { copies, entry: { path: `loader/entries/${name}`, bytes: text.toBytes() } };
}

function kernelPlan(
  entry: Extract<BootEntry, { kind: 'kernel' }>,
  stored: StoredFiles,
  options: PlanOptions,
): BootPlan {
  const { version, vmlinuz, initramfs, osRelease } = entry;
  if (initramfs === undefined)
    throw new BridgeError(
      'NO_INITRAMFS',
      `kernel ${showBytes(version)} has no initramfs.img in /usr/lib/modules/${showBytes(version)}`,
    );
  const id = options.entryId ?? version;
  const title = (osRelease && prettyName(stored.text(osRelease))) ?? 'Linux';
  const [linux, initrd] = [`/${id}/vmlinuz`, `/${id}/initramfs.img`];
  const text = new LoaderEntry(
    Buffer.from(`title ${title}\nversion ${version}\nlinux ${linux}\ninitrd ${initrd}\n`, 'latin1'),
  );
  return loaderPlan(
    `${id}.conf`,
    text,
    new Map([
      [linux, vmlinuz],
      [initrd, initramfs],
    ]),
    options,
  );
}

/** Lets an entry look for its files in a folder of the entry's name. @returns the files by their new paths */
function relocate(
  text: LoaderEntry,
  named: ReadonlyMap<ByteString, Regular>,
  id: ByteString,
): Map<ByteString, Regular> {
  const files = new Map<ByteString, Regular>();
  text.replaceFiles((path) => {
    const file = named.get(path) as Regular;
    const to = `/${id}/${path.slice(path.lastIndexOf('/') + 1)}`;
    const other = files.get(to);
    if (other !== undefined && other !== file)
      throw new BridgeError('INVALID_NAME', `two files of the boot entry would be ${showBytes(to)}`);
    files.set(to, file);
    return to;
  });
  return files;
}
