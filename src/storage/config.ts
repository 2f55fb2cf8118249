import * as z from 'zod';
import { configFiles, parseToml, type ConfigFile, type ConfigKind, type Surroundings } from './containers-config.js';

const KIND: ConfigKind = {
  name: 'storage',
  says: 'where the containers-storage is',
  advice:
    'put that right, or name another file in CONTAINERS_STORAGE_CONF, or the store itself: ' +
    'containers-storage:[overlay@/path/of/the/store]NAME',
};

// A list may carry a table that makes it continue the list of the files before it.
const listSchema = z.array(z.union([z.string(), z.object({ append: z.boolean().optional() })]));

/** Words, whatever kind of value they are written as. */
const wordsSchema = z.record(z.string(), z.unknown()).transform((values) => {
  const words = Object.entries(values).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
  return Object.fromEntries(words.map(([key, value]) => [key, String(value)]));
});

const fileSchema = z.object({
  storage: z
    .object({
      driver: z.string().optional(),
      graphroot: z.string().optional(),
      runroot: z.string().optional(),
      imagestore: z.string().optional(),
      rootless_storage_path: z.string().optional(),
      transient_store: z.boolean().optional(),
      options: z
        .looseObject({ additionalimagestores: listSchema.optional(), overlay: wordsSchema.optional() })
        .optional(),
    })
    .default({}),
});

/** What storage.conf and its drop-ins say together; empty strings count as not said. */
export interface StorageConfig {
  driver?: string | undefined;
  graphroot?: string | undefined;
  imagestore?: string | undefined;
  rootlessStoragePath?: string | undefined;
  runroot?: string | undefined;
  transientStore?: boolean | undefined;
  additionalImageStores: readonly string[];
  /** what stands in `[storage.options]` itself; each overlay option is in its own table */
  options: Readonly<Record<string, string>>;
  overlayOptions: Readonly<Record<string, string>>;
}

/**
 * Reads storage.conf the way containers-storage does.
 * @throws NotFoundError for a file the environment names; FormatError `BAD_CONFIG`
 */
export function readStorageConfig(surroundings: Surroundings): StorageConfig {
  const nothing: StorageConfig = { additionalImageStores: [], options: {}, overlayOptions: {} };
  return configFiles(surroundings, KIND).reduce(applyFile, nothing);
}

function applyFile(config: StorageConfig, file: ConfigFile): StorageConfig {
  const {
    driver,
    graphroot,
    imagestore,
    runroot,
    rootless_storage_path: rootlessStoragePath,
    transient_store: transientStore,
    options = {},
  } = parseToml(fileSchema, file).storage;
  return {
    driver: driver ?? config.driver,
    graphroot: graphroot ?? config.graphroot,
    imagestore: imagestore ?? config.imagestore,
    rootlessStoragePath: rootlessStoragePath ?? config.rootlessStoragePath,
    runroot: runroot ?? config.runroot,
    transientStore: transientStore ?? config.transientStore,
    additionalImageStores: mergeList(config.additionalImageStores, options.additionalimagestores),
    options: { ...config.options, ...wordsSchema.parse(options) },
    overlayOptions: { ...config.overlayOptions, ...options.overlay },
  };
}

function mergeList(before: readonly string[], list: z.output<typeof listSchema> | undefined): readonly string[] {
  if (!list) return before;
  const words = list.filter((item) => typeof item === 'string');
  return list.some((item) => typeof item === 'object' && item.append) ? [...before, ...words] : words;
}
