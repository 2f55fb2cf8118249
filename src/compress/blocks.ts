/**
 * The same bytes in blocks of one size, the last one excepted. The blocks are the reader's.
 * @param spare whole blocks that the reader has done with, to be filled again
 */
export async function* inBlocks(
  pieces: AsyncIterable<Buffer>,
  size: number,
  spare: Buffer[] = [],
): AsyncGenerator<Buffer, void, void> {
  const empty = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(size);
  let block = empty();
  let length = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const copied = piece.copy(block, length, at);
      at += copied;
      length += copied;
      if (length < size) continue;
      yield block;
      block = empty();
      length = 0;
    }
  }
  if (length > 0) yield block.subarray(0, length);
}
