import type { ObjectId } from '../../fsverity/object-id.js';

/** Something of an image that could not be restored. */
export type Loss =
  | { readonly part: 'commit'; readonly id: string; readonly reason: string }
  | { readonly part: 'manifest' | 'config'; readonly digest: string }
  | LayerLoss
  /** an EROFS image of a kind that is not known */
  | { readonly part: 'unknown-image'; readonly name: string; readonly image: ObjectId | undefined }
  /** an EROFS image that cannot be rebuilt */
  | { readonly part: 'image'; readonly name: string; readonly reason: string };

/** A layer, or an artifact's blob. */
export interface LayerLoss {
  readonly part: 'layer';
  readonly digest: string;
  readonly reason: string;
}

export function describeLoss(loss: Loss): string {
  switch (loss.part) {
    case 'manifest':
    case 'config':
      return `its ${loss.part} ${loss.digest} is lost`;
    case 'commit':
      return `ostree commit ${loss.id}: ${loss.reason}`;
    case 'layer':
      return `layer ${loss.digest}: ${loss.reason}`;
    case 'unknown-image':
      return `its image ${loss.name}, ${loss.image}, is of a kind that is not known`;
    case 'image':
      return `its image ${loss.name} cannot be rebuilt: ${loss.reason}`;
  }
}
