import type { LayerToSend } from './layer-fds.js';

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
  image(reference: string): Promise<ServedImage>;
  /**
   * Finds a layer.
   * @param parentId what the client takes for the layer below; undefined when it does not say
   * @returns what starts to read it; may be called several times
   * @throws NotFoundError; MethodError for another parent than the layer's
   */
  layer(id: string, parentId: string | undefined): Promise<() => Promise<LayerToSend>>;
}
