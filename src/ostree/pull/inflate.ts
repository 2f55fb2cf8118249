import { promisify } from 'node:util';
import { inflateRaw, inflateRawSync, type InflateRaw, type ZlibOptions } from 'node:zlib';
import { FormatError } from '../../errors.js';
import { loadNative } from '../../native.js';

/** Whether the addon inflates content: where Node does not let it use its zlib it cannot. */
export const canInflate = loadNative<{ canInflate(): boolean }>().canInflate();

/** So little is inflated sooner than another thread is told to. */
const TINY = 1 << 10;

interface Inflated {
  readonly buffer: Buffer;
  readonly engine: InflateRaw;
}

/** With `info`, which the types do not know. */
const inflateAsync = promisify(inflateRaw) as unknown as (data: Buffer, options: ZlibOptions) => Promise<Inflated>;
const inflateSync = inflateRawSync as unknown as (data: Buffer, options: ZlibOptions) => Inflated;

/**
 * Inflates all of a small content.
 * @param size of it, in bytes, as its header says
 * @throws FormatError `OSTREE_OBJECT` for what cannot be inflated, or goes on
 */
export async function inflateAll(bytes: Buffer, size: number): Promise<Buffer> {
  try {
    const options = { info: true, maxOutputLength: Math.max(size, 1) };
    const tiny = size <= TINY && bytes.length <= 2 * TINY;
    const { buffer, engine } = tiny
      ? inflateSync(bytes, { ...options, chunkSize: TINY })
      : await inflateAsync(bytes, options);
    if (engine.bytesWritten < bytes.length) throw damagedArchive('goes on behind its content');
    return buffer;
  } catch (error) {
    throw explained(error, size);
  }
}

/** What zlib says of an archive's content. @param size of it, if it is known */
export function explained(error: unknown, size: number | undefined): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  if (code === 'ERR_BUFFER_TOO_LARGE')
    return damagedArchive(`has more content than the ${size} bytes that its header says`);
  return code.startsWith('Z_') ? damagedArchive(`has content that cannot be inflated: ${error.message}`) : error;
}

/** @param what is wrong with one of its files */
export function damagedArchive(what: string): FormatError {
  return new FormatError('OSTREE_OBJECT', `a file of the archive ${what}`);
}
