// org.composefs.bridge.Ostree, which only this program has; see proto/org.composefs.bridge.Ostree.varlink.
import * as z from 'zod';
import { VarlinkInterface } from '../varlink/interface.js';
import { mountChoice } from './repository.js';

export const ostreeInterface = VarlinkInterface.fromProto('org.composefs.bridge.Ostree.varlink');

const handle = z.int();
const nothing = z.object({});
const text = z.string();
const count = z.int();
const named = z.array(z.object({ name: text, commit: text }));
const stored = { commit: text, verity: text, image: text };

const pullParams = z.object({
  handle,
  place: text,
  ref: text,
  base_name: text.nullish(),
  local_fetch: text.nullish(),
  delta: z.boolean().nullish(),
  fix_xattrs: z.boolean().nullish(),
});

/** One reply of Pull; it has one member. */
const pullFrame = z.object({
  progress: z.object({ metadata: count, files: count, files_left: count }).nullish(),
  message: text.nullish(),
  completed: z.object({ ...stored, name: text.nullish(), metadata: count, files: count, reused: count }).nullish(),
});

export type PullCommitParams = z.infer<typeof pullParams>;
export type PullCommitFrame = z.infer<typeof pullFrame>;

export const ostreeMethods = {
  Pull: ostreeInterface.method('Pull', { parameters: pullParams, reply: pullFrame }),
  ApplyDelta: ostreeInterface.method('ApplyDelta', {
    parameters: z.object({ handle, path: text }),
    reply: z.object({ ...stored, metadata: count, files: count }),
  }),
  ListCommits: ostreeInterface.method('ListCommits', {
    parameters: z.object({ handle }),
    reply: z.object({ commits: named }),
  }),
  Inspect: ostreeInterface.method('Inspect', {
    parameters: z.object({ handle, commit: text }),
    reply: z.object({
      commit: text,
      verity: text,
      image: text.nullish(),
      parent: text.nullish(),
      subject: text,
      body: text,
      timestamp: count.nullish(),
      objects: count,
    }),
  }),
  Tag: ostreeInterface.method('Tag', { parameters: z.object({ handle, commit: text, name: text }), reply: nothing }),
  Untag: ostreeInterface.method('Untag', { parameters: z.object({ handle, name: text }), reply: nothing }),
  ComputeId: ostreeInterface.method('ComputeId', {
    parameters: z.object({ handle, commit: text }),
    reply: z.object({ image_id: text }),
  }),
  Mount: ostreeInterface.method('Mount', {
    parameters: z.object({ handle, commit: text, options: mountChoice }),
    reply: z.object({ fd_index: count }),
  }),
  Export: ostreeInterface.method('Export', {
    parameters: z.object({ handle, commit: text, path: text, reference: text.nullish() }),
    reply: z.object({ commit: text }),
  }),
  ListRefs: ostreeInterface.method('ListRefs', {
    parameters: z.object({ handle, url: text, subset: text.nullish() }),
    reply: z.object({ refs: named }),
  }),
};
