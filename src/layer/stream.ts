import type { ByteString } from '../bytes.js';
import type { Compression } from '../compress/decompress.js';
import type { Fd } from '../fd/fd.js';

/** Tar bytes that travel as they are: headers, extension records, padding, and content nobody refers to. */
export interface BytesChunk {
  kind: 'bytes';
  bytes: Buffer;
}

/** The whole content of one regular file, `size` bytes, in an open file. The consumer closes `fd`. */
export interface FdChunk {
  kind: 'fd';
  fd: Fd;
  size: number;
}

/**
 * The whole content of one regular file, `size` bytes, as a name below a directory. The directory belongs
 * to the stream and is open until the stream is disposed. The name is opened with openat2(2): beneath the
 * directory, no symlinks.
 */
export interface NamedChunk {
  kind: 'named';
  dir: Fd;
  name: ByteString;
  size: number;
}

export type Chunk = BytesChunk | FdChunk | NamedChunk;

/**
 * One layer, as the pieces of its byte-exact tar in order. Chunks come in batches of up to a few hundred, so that
 * a consumer's cost is per batch and not per file. It can be read once. Disposing releases whatever kept the
 * content in place (locks, directories, descriptors of chunks not yet handed out); consumers dispose as soon as the
 * content is safe, on every path. Bytes are valid until the next batch is asked for: their memory may be used again.
 */
export interface LayerStream extends AsyncIterable<readonly Chunk[]>, AsyncDisposable {
  /**
   * The blob that the tar came out of. There once the stream was read to its end and the blob was what its digest says;
   * missing where the tar came out of none.
   */
  readonly blob?: PackedBlob | undefined;
}

/** A blob with a layer's tar, as it was found while it was decompressed: nothing of this is a claim. */
export interface PackedBlob {
  /** algorithm, colon and hex */
  readonly digest: string;
  /** in bytes */
  readonly size: number;
  readonly compression: Compression;
}

/** Closes what a chunk owns. For chunks that will not be consumed. */
export function closeChunk(chunk: Chunk): void {
  if (chunk.kind === 'fd') chunk.fd.close();
}
