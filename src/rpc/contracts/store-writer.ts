// What one process of ours has another one write into a containers-storage. No other program speaks this.
import * as z from 'zod';

const id = z.string().min(1);
const digest = z.string().min(1);
const path = z.string().startsWith('/');
/** how long to wait for a lock, in milliseconds */
const timeout = z.number().min(0).optional();
const strings = z.array(z.string());
const count = z.int().min(0);

const open = {
  name: 'Open',
  params: z.strictObject({
    store: z.strictObject({
      graphroot: path,
      driver: z.enum(['overlay', 'vfs']).optional(),
      imagestore: path.optional(),
      additionalStores: strings.optional(),
      writing: z
        .strictObject({
          runroot: path.optional(),
          driverOptions: strings.optional(),
          otherOptions: strings.optional(),
          transient: z.boolean().optional(),
        })
        .optional(),
    }),
    /** false: one that is not there is an error */
    create: z.boolean(),
    timeout,
  }),
  result: z.object({}),
};

const findLayer = {
  name: 'FindLayer',
  params: z.strictObject({ parent: id.optional(), diffId: digest, timeout }),
  result: z.object({ id: id.optional() }),
};

/** Comes with a socket, over which `sendLayer` sends the layer. */
const putLayer = {
  name: 'PutLayer',
  params: z.strictObject({
    parent: id.optional(),
    diffId: digest,
    compressed: z
      .strictObject({ digest, size: count, compression: z.enum(['none', 'bzip2', 'gzip', 'xz', 'zstd']) })
      .optional(),
    zeroCopy: z.boolean(),
    timeout,
  }),
  result: z.object({
    id,
    reused: z.boolean(),
    extracted: z
      .object({
        diffId: digest,
        size: count,
        uids: z.array(count),
        gids: z.array(count),
        cloned: count,
        clonedBytes: count,
        copied: count,
        copiedBytes: count,
        inline: count,
        inlineBytes: count,
      })
      .optional(),
  }),
};

/** The exact bytes of what belongs to an image, in a file of their own: JSON, with everything in base64. */
export const imageDocuments = z.strictObject({
  manifest: z.base64(),
  config: z.base64(),
  listManifest: z.base64().optional(),
  signatures: z.array(z.base64()).optional(),
  listSignatures: z.array(z.base64()).optional(),
});

/** Comes with a file of `imageDocuments`. */
const putImage = {
  name: 'PutImage',
  params: z.strictObject({ topLayer: id.optional(), names: strings, namesHistory: strings.optional(), timeout }),
  result: z.object({ id, existed: z.boolean() }),
};

const removeNames = {
  name: 'RemoveNames',
  params: z.strictObject({ names: strings, timeout }),
  result: z.object({ ids: z.array(id) }),
};

const removeImage = {
  name: 'RemoveImage',
  params: z.strictObject({ id, timeout }),
  result: z.object({ layers: z.array(id).optional() }),
};

/** The interface, by method name. */
export const storeWriterMethods = {
  Open: open,
  FindLayer: findLayer,
  PutLayer: putLayer,
  PutImage: putImage,
  RemoveNames: removeNames,
  RemoveImage: removeImage,
};
