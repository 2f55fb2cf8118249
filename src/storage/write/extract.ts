import type { Abortable } from '../../abortable.js';
import { BridgeError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import type { LayerStream } from '../../layer/stream.js';

export interface ExtractOptions extends Abortable {
  zeroCopy?: boolean | undefined;
  inUserNamespace?: boolean | undefined;
  forceMask?: number | undefined;
  plainWhiteouts?: boolean | undefined;
}
export interface ExtractedLayer {
  diffId: string;
  size: number;
  uids: number[];
  gids: number[];
}
export async function extractLayer(
  _stream: LayerStream,
  _diff: Fd,
  _tarSplit: Fd,
  _options: ExtractOptions,
): Promise<ExtractedLayer> {
  await Promise.resolve();
  throw new BridgeError('UNSUPPORTED', 'layers cannot be written yet');
}
