import type { Abortable } from '../../abortable.js';
import { gzip } from '../../compress/gzip.js';
import type { Fd } from '../../fd/fd.js';
import { writeAll } from '../../fd/write-all.js';
import { setXattr } from '../../fd/xattrs.js';
import type { LayerStream } from '../../layer/stream.js';
import { OVERRIDE_XATTR, type EntryRules } from './entry-record.js';
import { Extraction, type ContentCounts } from './extraction.js';
import { LayerExtractor } from './layer-extractor.js';

/** As for the store's own programs: the text shrinks to a twentieth, and time matters more. */
const COMPRESSION_LEVEL = 1;

/** How a layer is unpacked. */
export interface ExtractOptions extends Abortable, EntryRules {
  /** content that does not come in the stream itself is cloned, or unpacking fails with `ZERO_COPY` */
  zeroCopy?: boolean | undefined;
  /** called now and then with the number of tar bytes that are done */
  onProgress?: ((tarBytes: number) => void) | undefined;
}

/** What was unpacked. */
export interface ExtractedLayer extends ContentCounts {
  /** of the tar, `sha256:` and hex */
  diffId: string;
  /** bytes of the tar */
  size: number;
  /** owners that its headers name, those of whiteouts excepted, in order */
  uids: number[];
  gids: number[];
}

/**
 * Unpacks a layer below a folder as containers-storage does, and writes what is needed to put its tar together again
 * (tar-split), in one pass that also computes the diff_id. Content is cloned where the file system can, and copied
 * otherwise; what is hashed is what lies there in the end. Nothing is verified: the caller compares the diff_id before
 * anybody sees the folder. Nothing outside of the folder is touched, whatever the layer has.
 * @param stream disposed in the end, also after a failure
 * @param diff an empty folder. Its own mode and owner change when the tar has an entry `/`; an entry `./` changes
 *   nothing, as with podman
 * @param tarSplit open for writing, empty; not synced
 * @throws FormatError with the entry and its offset for whatever is wrong in the layer; BridgeError `ZERO_COPY`,
 *   `SIZE_MISMATCH`, `SOURCE_CHANGED`, `NOT_A_FILE`, or an errno's name (`ENOSPC`); the signal's reason. What was
 *   unpacked until then stays
 */
export async function extractLayer(
  stream: LayerStream,
  diff: Fd,
  tarSplit: Fd,
  options: ExtractOptions = {},
): Promise<ExtractedLayer> {
  const { signal, zeroCopy = false, inUserNamespace = false, forceMask, onProgress } = options;
  await using _stream = stream;
  await using extraction = new Extraction(diff, { zeroCopy, userNamespace: inUserNamespace }, signal);
  const extractor = new LayerExtractor(extraction, options);
  try {
    let length = 0;
    for await (const block of gzip(extractor.read(stream, signal), COMPRESSION_LEVEL)) {
      length += await writeAll(tarSplit, block, length);
      onProgress?.(extractor.size);
    }
    const { sha256, counts } = await extraction.finish();
    if (forceMask !== undefined) setXattr(diff, OVERRIDE_XATTR, Buffer.from(extractor.rootOverride, 'latin1'));
    return {
      diffId: `sha256:${sha256}`,
      size: extractor.size,
      uids: sorted(extractor.uids),
      gids: sorted(extractor.gids),
      ...counts,
    };
  } catch (error) {
    extractor.discard();
    signal?.throwIfAborted();
    throw error;
  }
}

function sorted(ids: ReadonlySet<number>): number[] {
  return [...ids].sort((a, b) => a - b);
}
