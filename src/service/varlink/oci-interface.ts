// org.composefs.Oci as cfsctl 0.9.4 serves it; the definition is proto/org.composefs.Oci.varlink.
import type { ImageFsckJson } from '../../oci/fsck.js';
import type { ImageSummary } from '../../oci/image.js';
import { VarlinkInterface } from '../../rpc/varlink/interface.js';
import type { Handle, MountChoice } from './repository-interface.js';

export const ociInterface = VarlinkInterface.fromProto('org.composefs.Oci.varlink');

/** A token of `features`: GetLayer and PutLayer with the splitdirfdstream format. */
export const FEATURE_SPLITDIRFDSTREAM = 'splitdirfdstream-v0';

export type XattrChoice = 'AllowlistOnly' | 'KeepUserXattrs';

export interface InspectResult {
  manifest: string;
  config: string;
  referrers: string[];
  composefs_erofs?: string | null;
  composefs_boot_erofs?: string | null;
}

export interface ComputeIdParams extends Handle {
  image: string;
  verity?: string | null;
  bootable: boolean;
  xattrs?: XattrChoice | null;
}

export interface PullParams extends Handle {
  image: string;
  name?: string | null;
  local_fetch: string;
  storage_root?: string | null;
  bootable: boolean;
  xattrs?: XattrChoice | null;
  expected_digest?: string | null;
}

/** One reply of Pull; it has one member. Sizes are bytes of the layer's tar. */
export interface PullFrame {
  started?: { id: string; total?: number | null; unit: 'Bytes' | 'Items' } | null;
  progress?: { id: string; fetched: number; total?: number | null } | null;
  skipped?: { id: string } | null;
  done?: { id: string; transferred: number } | null;
  message?: string | null;
  completed?: {
    manifest_digest: string;
    config_digest: string;
    manifest_verity: string;
    config_verity: string;
    stats: string;
    boot_image?: string | null;
    boot_image_mode?: string | null;
    boot_image_format_version?: string | null;
  } | null;
}

export interface GetLayerParams extends Handle {
  params: {
    diff_id?: string | null;
    storage?: { storage_path: string; layer_id: string } | null;
    consumer_has_cap_dac_override: boolean;
  };
}

export interface PutLayerParams extends Handle {
  diff_id: string;
  zerocopy: boolean;
}

export interface PutLayerResult {
  layer_verity: string;
  already_present: boolean;
  objects_reflinked: number;
  objects_hardlinked: number;
  objects_copied: number;
  objects_already_present: number;
}

export interface FinalizeImageParams extends Handle {
  manifest_json: string;
  config_json: string;
  layers: { diff_id: string; layer_verity: string }[];
  name?: string | null;
}

export interface FinalizeImageResult {
  manifest_digest: string;
  manifest_verity: string;
  config_digest: string;
  config_verity: string;
}

export const ociMethods = {
  ListImages: ociInterface.method<Handle & { filter?: string | null }, { images: ImageSummary[] }>('ListImages'),
  Check: ociInterface.method<Handle & { image?: string | null }, ImageFsckJson>('Check'),
  Inspect: ociInterface.method<Handle & { image: string }, InspectResult>('Inspect'),
  Tag: ociInterface.method<Handle & { manifest_digest: string; name: string }, object>('Tag'),
  Untag: ociInterface.method<Handle & { name: string }, object>('Untag'),
  ComputeId: ociInterface.method<ComputeIdParams, { image_id: string }>('ComputeId'),
  Pull: ociInterface.method<PullParams, PullFrame>('Pull'),
  OciMount: ociInterface.method<Handle & { image: string; bootable: boolean; options: MountChoice }, { fd_index: number }>('OciMount'),
  GetInfo: ociInterface.method<object, { features: string[] }>('GetInfo'),
  HasLayer: ociInterface.method<Handle & { diff_id: string }, { present: boolean; layer_verity?: string | null }>('HasLayer'),
  GetLayer: ociInterface.method<GetLayerParams, { dir_count: number }>('GetLayer'),
  PutLayer: ociInterface.method<PutLayerParams, PutLayerResult>('PutLayer'),
  FinalizeImage: ociInterface.method<FinalizeImageParams, FinalizeImageResult>('FinalizeImage'),
};
