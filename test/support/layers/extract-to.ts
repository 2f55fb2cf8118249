import { constants } from 'node:fs';
import { bytesOf } from '../../../src/bytes.js';
import { openDirectoryPath, openPath } from '../../../src/fd/fd.js';
import type { LayerStream } from '../../../src/layer/stream.js';
import { extractLayer, type ExtractedLayer, type ExtractOptions } from '../../../src/storage/extract/extract-layer.js';

/** Unpacks a layer below a folder, with its tar-split in a new file beside it. */
export async function extractTo(
  stream: LayerStream,
  folder: string,
  tarSplit: string,
  options: ExtractOptions = {},
): Promise<ExtractedLayer> {
  using diff = openDirectoryPath(bytesOf(folder));
  using file = openPath(bytesOf(tarSplit), constants.O_WRONLY | constants.O_CREAT, 0o600);
  return await extractLayer(stream, diff, file, options);
}
