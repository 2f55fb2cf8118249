// org.composefs.Oci as cfsctl 0.9.4 has it; the definition is proto/org.composefs.Oci.varlink.
import * as z from 'zod';
import { VarlinkInterface } from '../varlink/interface.js';
import { transferMethodsOf } from './oci-transfer.js';
import { fsckReply, mountChoice } from './repository.js';

export const ociInterface = VarlinkInterface.fromProto('org.composefs.Oci.varlink');

const handle = z.int();
const nothing = z.object({});
const text = z.string();
const count = z.int();
const xattrs = z.enum(['AllowlistOnly', 'KeepUserXattrs']);

const pullParams = z.object({
  handle,
  image: text,
  name: text.nullish(),
  local_fetch: text,
  storage_root: text.nullish(),
  bootable: z.boolean(),
  xattrs: xattrs.nullish(),
  expected_digest: text.nullish(),
});

/** One reply of Pull; it has one member. Sizes are bytes of the layer's tar. */
const pullFrame = z.object({
  started: z.object({ id: text, total: count.nullish(), unit: z.enum(['Bytes', 'Items']) }).nullish(),
  progress: z.object({ id: text, fetched: count, total: count.nullish() }).nullish(),
  skipped: z.object({ id: text }).nullish(),
  done: z.object({ id: text, transferred: count }).nullish(),
  message: text.nullish(),
  completed: z
    .object({
      manifest_digest: text,
      config_digest: text,
      manifest_verity: text,
      config_verity: text,
      stats: text,
      boot_image: text.nullish(),
      boot_image_mode: text.nullish(),
      boot_image_format_version: text.nullish(),
    })
    .nullish(),
});

export type PullParams = z.infer<typeof pullParams>;
export type PullFrame = z.infer<typeof pullFrame>;

export const ociMethods = {
  ...transferMethodsOf(ociInterface),
  ListImages: ociInterface.method('ListImages', {
    parameters: z.object({ handle, filter: text.nullish() }),
    reply: z.object({
      images: z.array(
        z.object({
          name: text,
          manifest_digest: text,
          is_container: z.boolean(),
          architecture: text,
          os: text,
          created: text.nullish(),
          layer_count: count,
          referrer_count: count,
        }),
      ),
    }),
  }),
  Check: ociInterface.method('Check', {
    parameters: z.object({ handle, image: text.nullish() }),
    reply: z.object({
      ok: z.boolean(),
      images_checked: count,
      images_corrupted: count,
      errors: z.array(text),
      repo: fsckReply,
    }),
  }),
  Inspect: ociInterface.method('Inspect', {
    parameters: z.object({ handle, image: text }),
    reply: z.object({
      manifest: text,
      config: text,
      referrers: z.array(text),
      composefs_erofs: text.nullish(),
      composefs_boot_erofs: text.nullish(),
    }),
  }),
  Tag: ociInterface.method('Tag', {
    parameters: z.object({ handle, manifest_digest: text, name: text }),
    reply: nothing,
  }),
  Untag: ociInterface.method('Untag', { parameters: z.object({ handle, name: text }), reply: nothing }),
  ComputeId: ociInterface.method('ComputeId', {
    parameters: z.object({
      handle,
      image: text,
      verity: text.nullish(),
      bootable: z.boolean(),
      xattrs: xattrs.nullish(),
    }),
    reply: z.object({ image_id: text }),
  }),
  Pull: ociInterface.method('Pull', { parameters: pullParams, reply: pullFrame }),
  OciMount: ociInterface.method('OciMount', {
    parameters: z.object({ handle, image: text, bootable: z.boolean(), options: mountChoice }),
    reply: z.object({ fd_index: count }),
  }),
};
