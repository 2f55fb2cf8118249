// org.composefs.Repository as cfsctl 0.9.4 has it; the definition is proto/org.composefs.Repository.varlink.
import * as z from 'zod';
import { VarlinkInterface } from '../varlink/interface.js';

export const repositoryInterface = VarlinkInterface.fromProto('org.composefs.Repository.varlink');

const handle = z.int();
const nothing = z.object({});
const text = z.string();
const count = z.int();

const newRepository = z.object({ path: text, algorithm: text.nullish(), insecure: z.boolean().nullish() });
const repositoryChoice = z.object({
  path: text.nullish(),
  user: z.boolean().nullish(),
  system: z.boolean().nullish(),
});

/** What of a mount can be chosen. */
export const mountChoice = z.object({ overlay: z.boolean().nullish(), read_write: z.boolean().nullish() });

/** What is wrong with a repository. */
export const fsckReply = z.object({
  ok: z.boolean(),
  has_metadata: z.boolean(),
  objects_checked: count,
  objects_corrupted: count,
  streams_checked: count,
  streams_corrupted: count,
  images_checked: count,
  images_corrupted: count,
  broken_links: count,
  missing_objects: count,
  errors: z.array(text),
});

export type NewRepository = z.infer<typeof newRepository>;
export type RepositoryChoice = z.infer<typeof repositoryChoice>;
export type MountChoice = z.infer<typeof mountChoice>;

export const repositoryMethods = {
  InitRepository: repositoryInterface.method('InitRepository', {
    parameters: newRepository,
    reply: z.object({ created: z.boolean() }),
  }),
  EnsureRepository: repositoryInterface.method('EnsureRepository', {
    parameters: newRepository,
    reply: z.object({ status: z.enum(['Opened', 'Created', 'Upgraded']) }),
  }),
  OpenRepository: repositoryInterface.method('OpenRepository', {
    parameters: repositoryChoice,
    reply: z.object({
      handle,
      hash_algorithm: text.nullish(),
      objects_device_id: count.nullish().describe('st_dev'),
    }),
  }),
  CloseRepository: repositoryInterface.method('CloseRepository', { parameters: z.object({ handle }), reply: nothing }),
  Fsck: repositoryInterface.method('Fsck', {
    parameters: z.object({ handle, metadata_only: z.boolean().nullish() }),
    reply: fsckReply,
  }),
  Gc: repositoryInterface.method('Gc', {
    parameters: z.object({ handle, dry_run: z.boolean(), roots: z.array(text) }),
    reply: z.object({
      result: z.object({ objects_removed: count, objects_bytes: count, images_pruned: count, streams_pruned: count }),
      dry_run: z.boolean(),
    }),
  }),
  ImageObjects: repositoryInterface.method('ImageObjects', {
    parameters: z.object({ handle, name: text }),
    reply: z.object({ object_ids: z.array(text) }),
  }),
  ListImageRefs: repositoryInterface.method('ListImageRefs', {
    parameters: z.object({ handle }),
    reply: z.object({ images: z.array(z.object({ name: text, digest: text })) }),
  }),
  Mount: repositoryInterface.method('Mount', {
    parameters: z.object({ handle, name: text, options: mountChoice }),
    reply: z.object({ fd_index: count }),
  }),
};
