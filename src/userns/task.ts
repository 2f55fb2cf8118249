// What a process in the user namespace is told to do. It takes nothing else from its surroundings: there, the user is
// root.
import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { isErrno } from '../fd/fd.js';
import type { StoreOptions } from '../storage/store.js';

/** The first argument by which the command knows that it is in the namespace; the second is the task. */
export const INSIDE_ARGUMENT = 'inside-user-namespace';

const path = z.string().startsWith('/');
const store = z.strictObject({
  graphroot: path,
  driver: z.enum(['overlay', 'vfs']).optional(),
  imagestore: path.optional(),
  additionalStores: z.array(path),
});
const serving = z.strictObject({
  /** serves the store on the socket that is descriptor 3: a connection, or one that listens */
  serve: store,
  /** the one whose layers varlink clients ask for by number */
  image: z.string().optional(),
});
/** sends layers of the store over the connection that is descriptor 3 */
const reading = z.strictObject({ read: store });
/** writes into the store that it is told over the connection that is descriptor 3 */
const writing = z.strictObject({ write: z.literal(true) });

export type InsideTask = z.output<typeof serving> | z.output<typeof reading> | z.output<typeof writing>;

/** The task of serving a store. @param image the one whose layers varlink clients ask for by number */
export function serveTask(where: StoreOptions, image?: string): InsideTask {
  return { serve: storeOf(where), image };
}

/** The task of sending layers of a store. */
export function readTask(where: StoreOptions): InsideTask {
  return { read: storeOf(where) };
}

function storeOf({ graphroot, driver, imagestore, additionalStores = [] }: StoreOptions): z.output<typeof store> {
  return {
    graphroot: withoutLinks(graphroot),
    driver,
    imagestore: imagestore === undefined ? undefined : withoutLinks(imagestore),
    additionalStores: additionalStores.map(withoutLinks),
  };
}

/**
 * A path as it is handed on, without symlinks: those of the machine's root, who has no id in the namespace, would be a
 * stranger's there. What is not there yet keeps its name.
 */
export function withoutLinks(absolute: string): string {
  try {
    return realpathSync(absolute);
  } catch (error) {
    if (!isErrno(error, 'ENOENT') || dirname(absolute) === absolute) throw error;
    return join(withoutLinks(dirname(absolute)), basename(absolute));
  }
}

/** @throws ZodError, SyntaxError for what is no task */
export function parseTask(text: string): InsideTask {
  return z.union([serving, reading, writing]).parse(JSON.parse(text));
}
