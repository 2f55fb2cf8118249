import type { Platform } from '../spec/platform.js';
import type { LayerToSend } from './lend.js';

/** An image that is served: its documents, and its layers from the base up. */
export interface ServedImage {
  manifest: Buffer;
  config: Buffer;
  layers: readonly { id: string; diffId: string; size: number | undefined }[];
}

/** Where the images come from that a server of the splitfdstream methods has. */
export interface ServedImages {
  list(): Promise<{ id: string; names: string[]; digest: string }[]>;
  /** @throws NotFoundError */
  /** @param platform what to take of a manifest list; the server's own when left out */
  image(reference: string, platform: Platform | undefined): Promise<ServedImage>;
  /**
   * Finds a layer.
   * @param parentId what the client takes for the layer below; undefined when it does not say
   * @returns what starts to read it; may be called several times
   * @throws NotFoundError; MethodError for another parent than the layer's
   */
  layer(id: string, parentId: string | undefined): Promise<() => Promise<LayerToSend>>;
}
