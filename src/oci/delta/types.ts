import type { Abortable } from '../../abortable.js';
import type { TarDiffVersion } from '../../layer/tar-diff-format.js';
import type { RegistryOptions } from '../../registry/registries.js';
import type { PushEvent } from '../push/types.js';
import type { LayerParts } from './pack-layer.js';

/** One layer of the new image. */
export interface DeltaLayerReport {
  readonly diffId: string;
  /** of the layer in the new image's manifest */
  readonly digest: string;
  /** there in both images; a patch; or as it is, since a patch would not have been smaller */
  readonly made: 'reused' | 'patch' | 'whole';
  /** bytes of it in the delta, 0 when it is reused */
  readonly size: number;
  /** bytes of it in the new image, as its manifest says */
  readonly fullSize: number;
  /** what its tar consists of; undefined when it is reused */
  readonly parts: Readonly<LayerParts> | undefined;
}

export type DeltaEvent =
  /** `done` bytes of the layer's tar, which has `size`, were compared and packed */
  | { kind: 'packing'; diffId: string; done: number; size: number }
  | { kind: 'packed'; layer: DeltaLayerReport }
  /** the registry does not have the new image, so that nobody finds the delta there until it does; said at the start */
  | { kind: 'no-target'; digest: string }
  | Extract<PushEvent, { kind: 'progress' | 'blob' | 'continued' | 'retry' }>;

export interface CreateDeltaOptions extends Abortable {
  /**
   * of the patches; 2 by default: changed files are zstd frames with the old file as their dictionary. 1 has copied and
   * added data only, for programs that know no more
   */
  format?: TarDiffVersion | undefined;
  /** of zstd, 1 to 19; default: 12 */
  compressionLevel?: number | undefined;
  /** for `docker://` */
  registry?: RegistryOptions | undefined;
  onEvent?: ((event: DeltaEvent) => void) | undefined;
}

export interface CreateDeltaResult {
  /** of the delta's own manifest */
  readonly manifestDigest: string;
  /** of the old image's config, by which programs find it */
  readonly sourceConfig: string;
  /** of the new image's manifest */
  readonly target: string;
  /** bytes that somebody fetches who applies the delta: all of its blobs */
  readonly size: number;
  /** bytes that a pull of the new image fetches where the old one is: all blobs that differ */
  readonly fullSize: number;
  /** base first; a layer that occurs twice is listed once */
  readonly layers: readonly DeltaLayerReport[];
}
