// What storage.conf and references say about writing: what is followed, and what makes a store none to write into.
import { BridgeError } from '../../errors.js';
import type { StoreOptions } from '../store.js';

/** How files of a layer are written. */
export interface LayerSettings {
  /** mode of all files and folders; the real ones are in an xattr then */
  forceMask: number | undefined;
  /** whiteouts stay files with the names they have in the tar, for a program that mounts the layers */
  plainWhiteouts: boolean;
}

/** The same, and where the process is. */
export interface WriteSettings extends LayerSettings {
  /** ids of users are those of a user namespace */
  inUserNamespace: boolean;
  /** where it is written down which layers are mounted, if that is known */
  runroot: string | undefined;
}

/** Options of the driver that change nothing about a layer of an image. */
const WITHOUT_EFFECT = new Set([
  'override_kernel_check',
  'mountopt',
  'skip_mount_home',
  'sync',
  'imagestore',
  'additionalimagestore',
  'additionallayerstore',
]);
const MASKS: Readonly<Record<string, number>> = { shared: 0o755, private: 0o700 };

/**
 * What the settings of a store mean for those who write into it.
 * @throws BridgeError `UNKNOWN_DRIVER`, `STORE_UNSUPPORTED`; FormatError `BAD_CONFIG`
 */
export function layerSettings({
  graphroot,
  driver,
  imagestore,
  additionalStores,
  writing = {},
}: StoreOptions): LayerSettings {
  if (driver !== undefined && driver !== 'overlay')
    throw new BridgeError(
      'UNKNOWN_DRIVER',
      `layers of the ${driver} driver are read only; a store of the overlay driver can be written to`,
    );
  if (imagestore !== undefined)
    throw unsupported(graphroot, 'it keeps its images in another place (imagestore)', 'name that one as the store');
  if (additionalStores?.includes(graphroot))
    throw unsupported(graphroot, 'it is an additional store, which podman only reads', 'name the store that has it');
  if (writing.transient === true)
    throw unsupported(graphroot, 'transient_store is set, so layers are gone after a restart', 'set it to false');
  const [other] = writing.otherOptions ?? [];
  if (other !== undefined)
    throw unsupported(
      graphroot,
      `storage.conf sets ${other} in [storage.options], by which programs of different age mean different things`,
      'remove it, or move it into [storage.options.overlay] where it is known',
    );
  return (writing.driverOptions ?? []).reduce((settings, option) => withOption(settings, graphroot, option), {
    forceMask: undefined,
    plainWhiteouts: false,
  } as LayerSettings);
}

function withOption(settings: LayerSettings, graphroot: string, option: string): LayerSettings {
  const [, of = 'overlay', key = '', value = ''] = /^\s*(?:(\w+)\.)?([^=]*)=(.*?)\s*$/s.exec(option) ?? [];
  if ((of !== 'overlay' && of !== 'overlay2') || value === '' || WITHOUT_EFFECT.has(key.toLowerCase())) return settings;
  const refused = (why: string): BridgeError =>
    unsupported(graphroot, `the option ${key}=${value} ${why}`, 'take it out, or name another store');
  switch (key.toLowerCase()) {
    case 'mount_program':
      return { ...settings, plainWhiteouts: true };
    case 'force_mask': {
      const mask = MASKS[value] ?? (/^[0-7]{1,5}$/.test(value) ? Number.parseInt(value, 8) : undefined);
      if (mask === undefined || mask > 0o7777) throw refused('is no mode');
      return { ...settings, forceMask: mask };
    }
    case 'ignore_chown_errors':
      if (isTrue(value)) throw refused('gives all files one owner');
      return settings;
    case 'use_composefs':
      if (isTrue(value)) throw refused('has layers stored by their content');
      return settings;
    case 'size':
    case 'inodes':
      throw refused('sets a quota');
    default:
      throw refused('is not known');
  }
}

/** As Go reads it; what is neither is taken for true, to be on the safe side. */
function isTrue(value: string): boolean {
  return !['0', 'f', 'false'].includes(value.toLowerCase());
}

/** The error for a store that cannot be written to, with what to do about it. */
export function unsupported(graphroot: string, why: string, advice: string): BridgeError {
  return new BridgeError('STORE_UNSUPPORTED', `${graphroot} cannot be written to: ${why}; ${advice}`);
}
