import { BridgeError, systemCode } from '../../errors.js';

/** Adds the layer to what went wrong; failures of system calls on what a peer sent become typed errors. */
export function withLayer(error: unknown, layer: string): unknown {
  const place = { ...(error instanceof BridgeError ? error.place : {}), layer };
  if (error instanceof BridgeError) {
    if (error.place.layer !== undefined) return error;
    return new BridgeError(error.code, `importing a layer failed: ${error.reason}`, { cause: error, place });
  }
  const code = systemCode(error);
  if (code === undefined) return error;
  return new BridgeError(code, `importing a layer failed: ${(error as Error).message}`, { cause: error, place });
}
