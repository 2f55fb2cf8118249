import { describeLateMark } from '../oci/image/mark-order.js';
import type { LateMark } from '../tree/oci-layers.js';
import { talk } from './talk.js';

/** For commands that show or make what cfsctl 0.9.4 shows or makes differently. */
export function sayLateMark(mark: LateMark): void {
  talk(`${describeLateMark(mark)}\n`);
}
