// What a process in the user namespace is told to do. It takes nothing else from its surroundings: there, the user is
// root.
import { realpathSync } from 'node:fs';
import * as z from 'zod';
import type { StoreOptions } from '../storage/store.js';

/** The first argument by which the command knows that it is in the namespace; the second is the task. */
export const INSIDE_ARGUMENT = 'inside-user-namespace';

const path = z.string().startsWith('/');
const taskSchema = z.strictObject({
  /** serves the store on the socket that is descriptor 3: a connection, or one that listens */
  serve: z.strictObject({
    graphroot: path,
    driver: z.enum(['overlay', 'vfs']).optional(),
    imagestore: path.optional(),
    additionalStores: z.array(path),
  }),
  /** the one whose layers varlink clients ask for by number */
  image: z.string().optional(),
});

export type InsideTask = z.output<typeof taskSchema>;

/**
 * The task of serving a store. Paths are handed on without symlinks: those of the machine's root, who has no id in the
 * namespace, would be a stranger's there.
 */
export function serveTask(
  { graphroot, driver, imagestore, additionalStores = [] }: StoreOptions,
  image?: string,
): InsideTask {
  return {
    serve: {
      graphroot: realpathSync(graphroot),
      driver,
      imagestore: imagestore === undefined ? undefined : realpathSync(imagestore),
      additionalStores: additionalStores.map((store) => realpathSync(store)),
    },
    image,
  };
}

/** @throws ZodError, SyntaxError for what is no task */
export function parseTask(text: string): InsideTask {
  return taskSchema.parse(JSON.parse(text));
}
