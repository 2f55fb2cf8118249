// The layers of an image, or of a whole containers-storage, as storage 1.65 serves them; the definition is
// proto/containers-storage/org.composefs.Oci.varlink.
import * as z from 'zod';
import { VarlinkInterface } from '../varlink/interface.js';
import { features, layerReply, storageLocator } from './oci-transfer.js';

export const storeInterface = VarlinkInterface.fromProto('containers-storage/org.composefs.Oci.varlink');

const getLayerParams = z.object({
  handle: z.int(),
  params: z.object({
    layer_index: z.int().nullish(),
    diff_id: z.string().nullish(),
    storage: storageLocator.nullish(),
    consumer_has_cap_dac_override: z.boolean().nullish(),
  }),
});

export type GetStoreLayerParams = z.infer<typeof getLayerParams>;

export const storeMethods = {
  GetInfo: storeInterface.method('GetInfo', features),
  GetLayer: storeInterface.method('GetLayer', { parameters: getLayerParams, reply: layerReply }),
};
