import type { Abortable } from '../../abortable.js';
import type { ExtractedLayer } from '../../storage/extract/extract-layer.js';
import type { LayerSurvey } from './survey.js';

/** What happens while an image is brought into a containers-storage. */
export type StoreEvent =
  | { kind: 'layers'; layers: readonly { diffId: string; size: number | undefined }[] }
  /** `done` tar bytes of the layer are through */
  | { kind: 'progress'; diffId: string; done: number }
  /** the store has the layer */
  | { kind: 'reused'; diffId: string }
  | { kind: 'written'; diffId: string; extracted: ExtractedLayer };

export interface StoreCopyOptions extends Abortable {
  /**
   * names for the image in the store, as people write them: each is completed as podman does. Default: those that it
   * has where it comes from, if that is a containers-storage
   */
  names?: readonly string[] | undefined;
  /** share the extents of every file, or fail; default: content is copied where that does not work */
  zeroCopy?: boolean | undefined;
  onEvent?: ((event: StoreEvent) => void) | undefined;
}

/** What became of a layer. */
export interface StoredCopy {
  readonly diffId: string;
  /** in the store; undefined where nothing was to be changed and it is not there */
  readonly id: string | undefined;
  readonly outcome: 'reused' | 'written' | 'planned';
  /** of one that was written */
  readonly extracted: ExtractedLayer | undefined;
  /** of one that would be written */
  readonly survey: LayerSurvey | undefined;
}

export interface StoreCopyResult {
  /** of the image in the store */
  readonly id: string;
  /** whether the store had it */
  readonly existed: boolean;
  readonly manifestDigest: string;
  readonly configDigest: string;
  /** all that it was given, complete */
  readonly names: readonly string[];
  /** base first */
  readonly layers: readonly StoredCopy[];
}
