import { join, normalize } from 'node:path';
import { debug } from '../debug.js';
import { BridgeError, FormatError } from '../errors.js';
import { ownSurroundings, type Surroundings } from './containers-config.js';
import { readStorageConfig } from './config.js';
import type { StoreChoice } from './reference.js';
import type { Driver } from './root.js';
import type { StoreOptions } from './store.js';

const ROOT_GRAPHROOT = '/var/lib/containers/storage';
const ROOT_RUNROOT = '/run/containers/storage';
/** Ids that are mapped on the disk; and what programs before and after 2026 read in different tables. */
const OTHER_OPTIONS = [
  'imagestore',
  'remap-uids',
  'remap-gids',
  'remap-user',
  'remap-group',
  'mount_program',
  'force_mask',
  'ignore_chown_errors',
  'use_composefs',
  'size',
];

/**
 * Where podman, run by the same user in the same environment, has its store. `CONTAINERS_STORAGE_ROOT`, which
 * cfsctl knows, wins over every file.
 * Source: containers/storage types/options.go.
 * @param choice the store an image reference names; with a graph root in it no configuration is read
 * @throws FormatError `BAD_CONFIG`; NotFoundError; BridgeError `UNKNOWN_DRIVER`
 * @example
 * ```ts
 * import { discoverStore, parseImageReference } from 'composefs-bridge';
 *
 * const { store } = parseImageReference('containers-storage:[overlay@/srv/storage+/run/storage]debian:12');
 * console.log(discoverStore(store).graphroot); // …/srv/storage
 * ```
 */
export function discoverStore(choice?: StoreChoice, surroundings: Surroundings = ownSurroundings()): StoreOptions {
  if (choice?.graphroot !== undefined) {
    debug(() => `store: ${choice.graphroot}, which the image's name says; no storage.conf is read`);
    return {
      graphroot: choice.graphroot,
      driver: checkDriver(choice.driver),
      additionalStores: storesIn(choice.options),
      writing: { runroot: choice.runroot, driverOptions: choice.options },
    };
  }
  const { env } = surroundings;
  const config = readStorageConfig(surroundings);
  const options = choice?.options.length ? choice.options : env['STORAGE_OPTS']?.split(',');
  const found = {
    graphroot: env['CONTAINERS_STORAGE_ROOT'] || graphroot(surroundings, config.graphroot, config.rootlessStoragePath),
    driver: checkDriver(choice?.driver || env['STORAGE_DRIVER'] || config.driver),
    imagestore: config.imagestore || undefined,
    additionalStores: options ? storesIn(options) : config.additionalImageStores,
    writing: {
      runroot: choice?.runroot ?? runroot(surroundings, config.runroot),
      driverOptions: options ?? Object.entries(config.overlayOptions).map(([key, value]) => `overlay.${key}=${value}`),
      otherOptions: options ? [] : OTHER_OPTIONS.filter((key) => config.options[key]),
      transient: config.transientStore,
    },
  };
  const why = env['CONTAINERS_STORAGE_ROOT']
    ? 'CONTAINERS_STORAGE_ROOT says'
    : config.graphroot || config.rootlessStoragePath
      ? `is from storage.conf, for user ${surroundings.uid}`
      : `is the default of user ${surroundings.uid}`;
  debug(
    () =>
      `store: ${found.graphroot}, which ${why}; driver ${found.driver ?? 'to be seen'}; other stores: ` +
      `${[found.imagestore, ...found.additionalStores].filter(Boolean).join(', ') || 'none'}`,
  );
  return found;
}

function graphroot(surroundings: Surroundings, configured?: string, rootlessPath?: string): string {
  const { env, uid, home } = surroundings;
  if (uid === 0) return configured ? expand(configured, surroundings) : ROOT_GRAPHROOT;
  // System-wide files of older releases spell out root's own store; users never could use that one.
  if (configured && normalize(configured) !== ROOT_GRAPHROOT) return expand(configured, surroundings);
  if (rootlessPath) return expand(rootlessPath, surroundings);
  return join(env['XDG_DATA_HOME'] || join(home, '.local/share'), 'containers/storage');
}

function runroot(surroundings: Surroundings, configured?: string): string {
  const { env, uid } = surroundings;
  if (uid === 0) return configured ? expand(configured, surroundings) : ROOT_RUNROOT;
  if (configured && normalize(configured) !== ROOT_RUNROOT) return expand(configured, surroundings);
  return join(env['XDG_RUNTIME_DIR'] || `/run/user/${uid}`, 'containers');
}

function expand(path: string, { env, uid, home }: Surroundings): string {
  const known: NodeJS.ProcessEnv = { ...env, HOME: home, UID: String(uid) };
  const expanded = path.replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (_, braced?: string, plain?: string) => known[braced ?? plain ?? ''] ?? '',
  );
  if (!expanded.startsWith('/')) throw new FormatError('BAD_CONFIG', `storage.conf: "${path}" is not an absolute path`);
  return normalize(expanded);
}

/** Read-only stores among driver options such as `overlay.imagestore=/a`. */
function storesIn(options: readonly string[]): string[] {
  return options.flatMap((option) => /^(?:\w+\.)?(?:additional)?imagestore=(.*)$/i.exec(option.trim())?.[1] ?? []);
}

function checkDriver(name: string | undefined): Driver | undefined {
  if (!name) return undefined;
  if (name === 'overlay' || name === 'overlay2') return 'overlay';
  if (name === 'vfs') return 'vfs';
  throw new BridgeError('UNKNOWN_DRIVER', `layers of the ${name} driver cannot be read; overlay and vfs can`);
}
