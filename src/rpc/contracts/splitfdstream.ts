// The JSON-RPC methods that serve images of a containers-storage; proto/splitfdstream.openrpc.json says the same for
// other languages and proto/splitfdstream.md describes the streams. GetImage and GetSplitFDStream (without `exact` and
// `format`) are those of containers' splitfdstream server, the rest is announced by GetInfo.
import * as z from 'zod';
import { LAYERS_LIMIT } from '../../limits.js';
import { FEATURE_SPLITDIRFDSTREAM } from './features.js';

/** Feature: the parameter `exact` makes the stream yield the layer's tar byte for byte. */
export const FEATURE_EXACT = 'splitfdstream-exact-v1';
/** Feature: the parameter `platform` of GetImage chooses among the images of a manifest list. */
export const FEATURE_PLATFORM = 'image-platform-v0';

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const size = z.int().min(0);

const layer = z.object({
  id: z.string().min(1).describe('layer id in the store'),
  parentId: z.string().describe('id of the layer below; empty for the lowest'),
  diffId: digest.describe('digest of the uncompressed tar'),
  size: size.optional().describe('length of the uncompressed tar in bytes; absent when the store does not know it'),
});

const getInfo = {
  name: 'GetInfo',
  params: z.object({}),
  result: z.object({ features: z.array(z.string()).describe('feature names; unknown ones are to be ignored') }),
};

const listImages = {
  name: 'ListImages',
  params: z.object({}),
  result: z.object({
    images: z.array(
      z.object({
        id: z.string().min(1),
        names: z.array(z.string()),
        digest: digest.describe('digest of the manifest'),
      }),
    ),
  }),
};

const getImage = {
  name: 'GetImage',
  params: z.object({
    imageId: z.string().min(1).describe('image id, name, or name@digest'),
    platform: z
      .string()
      .regex(/^[\w.-]+(\/[\w.-]+){1,2}$/)
      .optional()
      .describe(
        "with feature image-platform-v0: OS/ARCH[/VARIANT] to take of a manifest list; absent: the server's own",
      ),
  }),
  result: z.object({
    manifest: z.string().describe('the manifest as stored'),
    config: z.string().describe('the config as stored'),
    layerDigests: z
      .array(z.string())
      .max(LAYERS_LIMIT)
      .nullable()
      .describe('layer ids in the store, top layer first; null for none, as Go writes it'),
    layers: z
      .array(layer)
      .max(LAYERS_LIMIT)
      .optional()
      .describe('the same layers, base layer first; absent from old servers'),
  }),
};

const getSplitFDStream = {
  name: 'GetSplitFDStream',
  params: z.object({
    layerId: z.string().min(1),
    parentId: z.string().optional().describe('id of the layer below; empty or absent for the lowest'),
    exact: z.boolean().optional().describe("with feature splitfdstream-exact-v1: yield the layer's tar byte for byte"),
    format: z
      .literal(FEATURE_SPLITDIRFDSTREAM)
      .optional()
      .describe('with the feature of this name: send a splitdirfdstream'),
  }),
  result: z.object({
    streamSize: size.optional().describe('length of the stream in bytes; absent when it is a pipe'),
    exact: z.literal(true).optional().describe("the stream yields the layer's tar byte for byte"),
    format: z
      .literal(FEATURE_SPLITDIRFDSTREAM)
      .optional()
      .describe('the stream is a splitdirfdstream; absent: a splitfdstream'),
    dirCount: size.optional().describe('splitdirfdstream: how many directories follow the stream'),
  }),
};

export type GetImageResult = z.infer<typeof getImage.result>;
export type ListImagesResult = z.infer<typeof listImages.result>;
export type GetSplitFDStreamParams = z.infer<typeof getSplitFDStream.params>;
export type GetSplitFDStreamResult = z.infer<typeof getSplitFDStream.result>;

/** The interface, by method name; each works with `JsonRpcConnection.call` and `implement`. */
export const methods = {
  GetInfo: getInfo,
  ListImages: listImages,
  GetImage: getImage,
  GetSplitFDStream: getSplitFDStream,
};
