// The methods that move layers between programs, as both ends see them. Their interface has two names; see the
// definitions in proto/.
import * as z from 'zod';
import { VarlinkInterface, type VarlinkMethod } from '../varlink/interface.js';

const handle = z.int();
export const features = { parameters: z.object({}), reply: z.object({ features: z.array(z.string()) }) };
export const storageLocator = z.object({ storage_path: z.string(), layer_id: z.string() });
/** Comes with the stream, as many folders, and what keeps the layer in place. */
export const layerReply = z.object({ dir_count: z.int() });

const shapes = {
  GetInfo: features,
  HasLayer: {
    parameters: z.object({ handle, diff_id: z.string() }),
    reply: z.object({ present: z.boolean(), layer_verity: z.string().nullish() }),
  },
  GetLayer: {
    parameters: z.object({
      handle,
      params: z.object({
        diff_id: z.string().nullish(),
        storage: storageLocator.nullish(),
        consumer_has_cap_dac_override: z.boolean(),
      }),
    }),
    reply: layerReply,
  },
  PutLayer: {
    parameters: z.object({ handle, diff_id: z.string(), zerocopy: z.boolean() }),
    reply: z.object({
      layer_verity: z.string(),
      already_present: z.boolean(),
      objects_reflinked: z.int(),
      objects_hardlinked: z.int(),
      objects_copied: z.int(),
      objects_already_present: z.int(),
    }),
  },
  FinalizeImage: {
    parameters: z.object({
      handle,
      manifest_json: z.string(),
      config_json: z.string(),
      layers: z.array(z.object({ diff_id: z.string(), layer_verity: z.string() })),
      name: z.string().nullish(),
    }),
    reply: z.object({
      manifest_digest: z.string(),
      manifest_verity: z.string(),
      config_digest: z.string(),
      config_verity: z.string(),
    }),
  },
};

type Shapes = typeof shapes;

export type GetLayerParams = z.infer<Shapes['GetLayer']['parameters']>;
export type PutLayerParams = z.infer<Shapes['PutLayer']['parameters']>;
export type PutLayerReply = z.infer<Shapes['PutLayer']['reply']>;
export type FinalizeImageParams = z.infer<Shapes['FinalizeImage']['parameters']>;
export type FinalizeImageReply = z.infer<Shapes['FinalizeImage']['reply']>;
export type LayerRef = FinalizeImageParams['layers'][number];

/**
 * Which layer: of the repository with the handle, of a containers-storage, or of the image that the connection is for.
 */
export type LayerLocator = { diff_id: string } | { storage: z.infer<typeof storageLocator> } | { layer_index: number };

export type TransferMethods = {
  [Name in keyof Shapes]: VarlinkMethod<z.infer<Shapes[Name]['parameters']>, z.infer<Shapes[Name]['reply']>>;
};

/** The methods under the name of one interface that has them all. */
export function transferMethodsOf(definition: VarlinkInterface): TransferMethods {
  return {
    GetInfo: definition.method('GetInfo', shapes.GetInfo),
    HasLayer: definition.method('HasLayer', shapes.HasLayer),
    GetLayer: definition.method('GetLayer', shapes.GetLayer),
    PutLayer: definition.method('PutLayer', shapes.PutLayer),
    FinalizeImage: definition.method('FinalizeImage', shapes.FinalizeImage),
  };
}

/** Newest first. */
const NAMES = ['io.cncf.composefs.OciTransfer', 'org.composefs.Oci'];

/** @param served names of the interfaces that a server has; undefined when it has none that moves layers */
export function transferMethods(served: readonly string[]): TransferMethods | undefined {
  const name = NAMES.find((known) => served.includes(known));
  return name === undefined ? undefined : transferMethodsOf(VarlinkInterface.fromProto(`${name}.varlink`));
}
