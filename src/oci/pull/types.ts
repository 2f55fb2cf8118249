import type { ErofsVersion } from '../../repository/meta.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { LayerStats } from './import-layer.js';
import type { LocalFetch } from './local-fetch.js';

export type PullEvent =
  | { kind: 'layers'; layers: readonly { diffId: string; size: number | undefined }[] }
  /** `done` tar bytes of the layer are through */
  | { kind: 'progress'; diffId: string; done: number }
  /** nothing to do: the layer was there and is right */
  | { kind: 'present'; diffId: string }
  | { kind: 'imported'; diffId: string; stats: LayerStats }
  /** the layer is not what the image says it is, and was taken all the same */
  | { kind: 'unverified'; diffId: string; actual: string }
  | { kind: 'image'; version: ErofsVersion; id: ObjectId };

export interface PullOptions {
  /** tag to make; none when left out, and then the next garbage collection takes the image */
  name?: string | undefined;
  localFetch?: LocalFetch;
  /** allow fs-verity to be enabled on files of the store that are hardlinked, which makes them immutable there */
  sealSource?: boolean;
  /** take layers that do not match their diff_id; they get the name of the digest they really have */
  allowUnverified?: boolean;
  /** make an EROFS image of this version besides those the repository wants */
  erofsVersion?: ErofsVersion | undefined;
  /** make the EROFS images to boot from as well */
  bootable?: boolean;
  signal?: AbortSignal;
  onEvent?: (event: PullEvent) => void;
}

export interface PulledLayer {
  /** what the image says */
  diffId: string;
  /** what it is; another one only with `allowUnverified` */
  actual: string;
  stream: ObjectId;
  /** undefined when the layer was there already */
  stats: LayerStats | undefined;
}

export interface PullResult {
  manifestDigest: string;
  configDigest: string;
  /** object of the manifest's splitstream, which cfsctl calls the verity of an image */
  manifestStream: ObjectId;
  configStream: ObjectId;
  tag: string | undefined;
  /** EROFS images by version */
  images: ReadonlyMap<ErofsVersion, ObjectId>;
  /** EROFS images to boot from by version; empty when none were asked for */
  bootImages: ReadonlyMap<ErofsVersion, ObjectId>;
  /** base first; a layer that occurs twice is listed once */
  layers: readonly PulledLayer[];
}
