import type { Fd } from '../../../fd/fd.js';
import { decompress, detectCompression, MAGIC_LENGTH } from '../../../compress/decompress.js';
import { ImageFile } from './image-files.js';
import { namelessCopy } from './nameless-copy.js';

/**
 * Makes a compressed archive readable at any place: decompresses it into a file without a name, in TMPDIR or
 * `/var/tmp`. One that is not compressed is returned as it is.
 * @param archive open at its beginning; owned by the result, and closed when that is a copy
 * @throws FormatError `COMPRESSION`; BridgeError `NO_SPACE` when the copy does not fit
 */
export async function decompressedArchive(archive: Fd, signal?: AbortSignal): Promise<Fd> {
  const { size } = archive.stat();
  const compression = detectCompression(head(archive, size));
  if (compression === 'none') return archive;
  await using content = decompress(new ImageFile(archive.duplicate(), 0, size).source(), compression);
  const copy = await namelessCopy(content, { why: 'a compressed archive has to be decompressed first', signal });
  archive.close();
  return copy;
}

function head(archive: Fd, size: number): Buffer {
  using file = new ImageFile(archive.duplicate(), 0, size);
  return file.head(MAGIC_LENGTH);
}
