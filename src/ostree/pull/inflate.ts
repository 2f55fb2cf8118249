import { promisify } from 'node:util';
import { inflateRaw, type InflateRaw, type ZlibOptions } from 'node:zlib';
import { FormatError } from '../../errors.js';
import { loadNative } from '../../native.js';

/** Whether the addon inflates content: where Node does not let it use its zlib it cannot. */
export const canInflate = loadNative<{ canInflate(): boolean }>().canInflate();

/** With `info`, which the types do not know. */
const inflateAsync = promisify(inflateRaw) as unknown as (
  data: Buffer,
  options: ZlibOptions,
) => Promise<{ buffer: Buffer; engine: InflateRaw }>;

/**
 * Inflates all of a small content.
 * @param size of it, in bytes, as its header says
 * @throws FormatError `OSTREE_OBJECT` for what cannot be inflated, or goes on
 */
export async function inflateAll(bytes: Buffer, size: number): Promise<Buffer> {
  try {
    const { buffer, engine } = await inflateAsync(bytes, { info: true, maxOutputLength: Math.max(size, 1) });
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
