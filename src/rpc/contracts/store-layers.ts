// How one process of ours has another one read a containers-storage. No other program speaks this.
import * as z from 'zod';

/** Comes with a socket, over which `sendLayer` sends the layer once this is answered. */
const sendLayer = {
  name: 'SendLayer',
  params: z.strictObject({ layer: z.string().min(1) }),
  result: z.object({ stream: z.int().min(0) }),
};

/** Waits until all of a layer is sent; what went wrong with that is the answer. */
const endLayer = {
  name: 'EndLayer',
  params: z.strictObject({ stream: z.int().min(0) }),
  result: z.object({}),
};

/** The interface, by method name. */
export const storeLayersMethods = { SendLayer: sendLayer, EndLayer: endLayer };
