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

const fileSchema = z.object({
  storage: z
    .object({
      driver: z.string().optional(),
      graphroot: z.string().optional(),
      imagestore: z.string().optional(),
      rootless_storage_path: z.string().optional(),
      options: z.object({ additionalimagestores: listSchema.optional() }).optional(),
    })
    .default({}),
});

/** What storage.conf and its drop-ins say together; empty strings count as not said. */
export interface StorageConfig {
  driver?: string | undefined;
  graphroot?: string | undefined;
  imagestore?: string | undefined;
  rootlessStoragePath?: string | undefined;
  additionalImageStores: readonly string[];
}

/**
 * Reads storage.conf the way containers-storage does.
 * @throws NotFoundError for a file the environment names; FormatError `BAD_CONFIG`
 */
export function readStorageConfig(surroundings: Surroundings): StorageConfig {
  return configFiles(surroundings, KIND).reduce(applyFile, { additionalImageStores: [] } as StorageConfig);
}

function applyFile(config: StorageConfig, file: ConfigFile): StorageConfig {
  const {
    driver,
    graphroot,
    imagestore,
    rootless_storage_path: rootlessStoragePath,
    options,
  } = parseToml(fileSchema, file).storage;
  return {
    driver: driver ?? config.driver,
    graphroot: graphroot ?? config.graphroot,
    imagestore: imagestore ?? config.imagestore,
    rootlessStoragePath: rootlessStoragePath ?? config.rootlessStoragePath,
    additionalImageStores: mergeList(config.additionalImageStores, options?.additionalimagestores),
  };
}

function mergeList(before: readonly string[], list: z.output<typeof listSchema> | undefined): readonly string[] {
  if (!list) return before;
  const words = list.filter((item) => typeof item === 'string');
  return list.some((item) => typeof item === 'object' && item.append) ? [...before, ...words] : words;
}
