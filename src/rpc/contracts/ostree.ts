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
const flag = z.boolean().nullish();
const optional = text.nullish();
const list = z.array(text).nullish();
const number = count.nullish();

const server = z.object({
  credentials: z.object({ user: text, password: text }).nullish(),
  anonymous: flag,
  authfile: optional,
  cert_dir: optional,
  tls_verify: flag,
  headers: list,
});
const verification = z.object({ ed25519: list, gpg: optional, collection_id: optional, allow_downgrade: flag });

const pullParams = z.object({
  handle,
  place: text,
  ref: text,
  base_name: optional,
  local_fetch: optional,
  delta: flag,
  fix_xattrs: flag,
  subpaths: list,
  erofs_version: number,
  server: server.nullish(),
  verification: verification.nullish(),
});

/** One reply of Pull; it has one member. */
const pullFrame = z.object({
  progress: z.object({ metadata: count, files: count, files_left: count, bytes: count }).nullish(),
  message: optional,
  completed: z
    .object({ ...stored, name: optional, metadata: count, files: count, reused: count, delta_parts: number })
    .nullish(),
});

export type PullCommitParams = z.infer<typeof pullParams>;
export type PullCommitFrame = z.infer<typeof pullFrame>;
export type ServerChoice = z.infer<typeof server>;
export type Verification = z.infer<typeof verification>;

export const ostreeMethods = {
  Pull: ostreeInterface.method('Pull', { parameters: pullParams, reply: pullFrame }),
  ApplyDelta: ostreeInterface.method('ApplyDelta', {
    parameters: z.object({
      handle,
      path: text,
      reference: optional,
      fix_xattrs: flag,
      erofs_version: number,
      verification: verification.nullish(),
    }),
    reply: z.object({ ...stored, name: optional, metadata: count, files: count, delta_parts: number }),
  }),
  Commit: ostreeInterface.method('Commit', {
    parameters: z.object({
      handle,
      source: text,
      reference: optional,
      subject: optional,
      timestamp: number,
      erofs_version: number,
    }),
    reply: z.object(stored),
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
      image: optional,
      parent: optional,
      subject: text,
      body: text,
      timestamp: number,
      tree: text,
      dirmeta: text,
      metadata: z.array(z.object({ key: text, type: text, value: text })),
      fix_xattrs: z.boolean(),
      subpaths: z.array(text),
      objects: count,
    }),
  }),
  ListObjects: ostreeInterface.method('ListObjects', {
    parameters: z.object({ handle, commit: text }),
    reply: z.object({
      objects: z.array(
        z.object({
          id: text,
          kind: text,
          size: count,
          uid: number,
          gid: number,
          mode: optional,
          xattrs: z.array(z.object({ name: text, value: text })).nullish(),
          target: optional,
          digest: optional,
          where: optional,
          object: optional,
        }),
      ),
    }),
  }),
  Dump: ostreeInterface.method('Dump', {
    parameters: z.object({ handle, commit: text }),
    reply: z.object({ text }),
  }),
  Tag: ostreeInterface.method('Tag', { parameters: z.object({ handle, commit: text, name: text }), reply: nothing }),
  Untag: ostreeInterface.method('Untag', { parameters: z.object({ handle, name: text }), reply: nothing }),
  ComputeId: ostreeInterface.method('ComputeId', {
    parameters: z.object({ handle, commit: text, erofs_version: number }),
    reply: z.object({ image_id: text }),
  }),
  Mount: ostreeInterface.method('Mount', {
    parameters: z.object({ handle, commit: text, options: mountChoice }),
    reply: z.object({ fd_index: count, message: optional }),
  }),
  Export: ostreeInterface.method('Export', {
    parameters: z.object({
      handle,
      commit: text,
      path: text,
      reference: optional,
      oci: flag,
      subject: optional,
      timestamp: number,
    }),
    reply: z.object({ commit: text }),
  }),
  ListRefs: ostreeInterface.method('ListRefs', {
    parameters: z.object({ handle, url: text, subset: optional, server: server.nullish() }),
    reply: z.object({ refs: named }),
  }),
};
