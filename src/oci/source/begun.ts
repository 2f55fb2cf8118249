import type { ByteSource } from '../../fd/byte-source.js';

/**
 * Waits until the first bytes of a source are there.
 * @param source moves into the result, and is disposed when this throws
 * @returns all its bytes
 * @throws what reading the first ones throws
 */
export async function begun(source: ByteSource): Promise<ByteSource> {
  try {
    const pieces = source[Symbol.asyncIterator]();
    const first = await pieces.next();
    return {
      async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
        for (let next = first; next.done !== true; next = await pieces.next()) yield next.value;
      },
      [Symbol.asyncDispose]: async () => {
        await source[Symbol.asyncDispose]();
        await pieces.return?.();
      },
    };
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}
