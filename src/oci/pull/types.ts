import type { Abortable } from '../../abortable.js';
import type { ByteString } from '../../bytes.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { PackedBlob } from '../../layer/stream.js';
import type { Platform } from '../../spec/platform.js';
import type { LocalFetch } from '../../repository/local-fetch.js';
import type { LayerStats } from './stats.js';

export type PullEvent =
  | { kind: 'layers'; layers: readonly { diffId: string; size: number | undefined }[] }
  /** `done` tar bytes of the layer are through */
  | { kind: 'progress'; diffId: string; done: number }
  /** nothing to do: the layer was there and is right */
  | { kind: 'present'; diffId: string }
  | { kind: 'imported'; diffId: string; stats: Readonly<LayerStats> }
  /** the layer is not what the image says it is, and was taken all the same */
  | { kind: 'unverified'; diffId: string; actual: string }
  /**
   * cfsctl 0.9.4 makes another image of these layers: it loses files of this one, the first of the kind; see
   * `LayerTree`
   */
  | { kind: 'late-mark'; layer: string; entry: ByteString }
  | { kind: 'image'; version: ErofsVersion; id: ObjectId }
  /** the image is for another platform than the wanted one, and was taken all the same: there was no other */
  | { kind: 'platform'; image: Platform; wanted: Platform };

export interface PullOptions extends Abortable {
  /** tag to make; none when left out, and then the next garbage collection takes the image */
  name?: string | undefined;
  localFetch?: LocalFetch;
  /** allow fs-verity to be enabled on files of the store that are hardlinked, which makes them immutable there */
  sealSource?: boolean;
  /** take layers that do not match their diff_id; they get the name of the digest they really have */
  allowUnverified?: boolean;
  /** make an EROFS image of this version besides those the repository wants */
  erofsVersion?: ErofsVersion | undefined;
  /** what the image should be for; default: the platform this program runs on. It chooses nothing: sources do */
  platform?: Platform | undefined;
  /** make the EROFS images to boot from as well */
  bootable?: boolean;
  /** keep the blobs of layers as they are published, for as long as the image, so that it can be pushed to the bit */
  keepBlobs?: boolean;
  onEvent?: (event: PullEvent) => void;
}

export interface PulledLayer {
  /** what the image says */
  readonly diffId: string;
  /** what it is; another one only with `allowUnverified` */
  readonly actual: string;
  readonly stream: ObjectId;
  /** undefined when the layer was there already */
  readonly stats: Readonly<LayerStats> | undefined;
  /** the blob that it was unpacked from by this pull, as it was found to be */
  readonly blob?: PackedBlob | undefined;
}

export interface PullResult {
  readonly manifestDigest: string;
  readonly configDigest: string;
  /** object of the manifest's splitstream, which cfsctl calls the verity of an image */
  readonly manifestStream: ObjectId;
  readonly configStream: ObjectId;
  readonly tag: string | undefined;
  /** EROFS images by version */
  readonly images: ReadonlyMap<ErofsVersion, ObjectId>;
  /** EROFS images to boot from by version; empty when none were asked for */
  readonly bootImages: ReadonlyMap<ErofsVersion, ObjectId>;
  /** base first; a layer that occurs twice is listed once */
  readonly layers: readonly PulledLayer[];
}
