import { VarlinkInterface, type VarlinkMethod } from '../../rpc/varlink/interface.js';

/** Which layer: of the repository with the handle, of a containers-storage, or of the image that the connection is for. */
export type LayerLocator = { diff_id: string } | { storage: { storage_path: string; layer_id: string } } | { layer_index: number };

export interface LayerRef {
  diff_id: string;
  layer_verity: string;
}

export interface PutLayerReply {
  layer_verity: string;
  already_present: boolean;
}

export interface FinalizeImageReply {
  manifest_digest: string;
  manifest_verity: string;
  config_digest: string;
  config_verity: string;
}

/** The methods that move layers, the same under both names of their interface. */
export interface TransferMethods {
  GetInfo: VarlinkMethod<object, { features: string[] }>;
  HasLayer: VarlinkMethod<{ handle: number; diff_id: string }, { present: boolean; layer_verity?: string | null }>;
  GetLayer: VarlinkMethod<{ handle: number; params: LayerLocator & { consumer_has_cap_dac_override: boolean } }, { dir_count: number }>;
  PutLayer: VarlinkMethod<{ handle: number; diff_id: string; zerocopy: boolean }, PutLayerReply>;
  FinalizeImage: VarlinkMethod<{ handle: number; manifest_json: string; config_json: string; layers: LayerRef[]; name?: string }, FinalizeImageReply>;
}

/** Newest first. */
const NAMES = ['io.cncf.composefs.OciTransfer', 'org.composefs.Oci'];

/** @param served names of the interfaces that a server has; undefined when it has none that moves layers */
export function transferMethods(served: readonly string[]): TransferMethods | undefined {
  const name = NAMES.find((known) => served.includes(known));
  if (name === undefined) return undefined;
  const definition = VarlinkInterface.fromProto(`${name}.varlink`);
  return {
    GetInfo: definition.method('GetInfo'),
    HasLayer: definition.method('HasLayer'),
    GetLayer: definition.method('GetLayer'),
    PutLayer: definition.method('PutLayer'),
    FinalizeImage: definition.method('FinalizeImage'),
  };
}
