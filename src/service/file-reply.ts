import { constants, write } from 'node:fs';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { bytesOf } from '../bytes.js';
import { openPath, type Fd } from '../fd/fd.js';
import { readContent } from '../layer/content.js';
import { stripForLegacy } from '../layer/legacy-tar.js';
import { encodeSplitfdstream } from '../layer/splitfdstream.js';
import { closeChunk, type Chunk, type LayerStream } from '../layer/stream.js';
import type { Reply } from '../rpc/rpc-method.js';
import type { GetSplitFDStreamResult } from '../rpc/splitfdstream-methods.js';

/**
 * Most files that go as descriptors: clients of this form keep all of a layer open at once, and 1024 is the usual limit of a process.
 * The smallest files beyond travel inside the stream.
 */
const MOST_FILES = 900;

const O_TMPFILE = 0o20200000;
const writeAt = promisify(write);

/**
 * A layer as one descriptor per file, for clients that know nothing else. The stream is complete before the answer. Open
 * files keep their content, so nothing stays locked.
 * @param open starts reading the layer; called twice when it has too many files
 * @param exact keep padding and end blocks, which the protocol's first form leaves out
 */
export async function fileReply(open: () => Promise<LayerStream>, exact: boolean): Promise<Reply<GetSplitFDStreamResult>> {
  const smallest = await smallestToPass(open);
  const fds: Fd[] = [openPath(bytesOf(tmpdir()), O_TMPFILE | constants.O_RDWR, 0o600)];
  try {
    const layer = inlineBelow(await open(), smallest);
    const files: Fd[] = [];
    try {
      await using source = exact ? layer : stripForLegacy(layer);
      const streamSize = await writeStream(fds[0] as Fd, encodeSplitfdstream(source, files));
      fds.push(...files.splice(0));
      return { result: { streamSize, ...(exact ? { exact: true as const } : {}) }, fds };
    } finally {
      for (const file of files) file.close();
    }
  } catch (error) {
    for (const fd of fds) fd.close();
    throw error;
  }
}

async function writeStream(fd: Fd, pieces: AsyncIterable<Buffer>): Promise<number> {
  let size = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      // Positioned, so that the client finds the descriptor's own offset at 0.
      at += (await writeAt(fd.number, piece, at, piece.length - at, size + at)).bytesWritten;
    }
    size += piece.length;
  }
  return size;
}

/** What to pass as descriptors: files of more bytes than `size`, and the first `ties` of just as many. */
interface Cut {
  size: number;
  ties: number;
}

async function smallestToPass(open: () => Promise<LayerStream>): Promise<Cut> {
  const sizes: number[] = [];
  await using layer = await open();
  for await (const chunks of layer) {
    for (const chunk of chunks) if (chunk.kind !== 'bytes') sizes.push(chunk.size);
  }
  if (sizes.length <= MOST_FILES) return { size: 0, ties: 0 };
  sizes.sort((a, b) => b - a);
  const size = sizes[MOST_FILES] as number;
  return { size, ties: MOST_FILES - sizes.filter((other) => other > size).length };
}

/** The same layer, with files up to the cut as bytes. */
function inlineBelow(layer: LayerStream, cut: Cut): LayerStream {
  let { ties } = cut;
  const passes = (size: number): boolean => size > cut.size || (size === cut.size && ties-- > 0);
  return {
    async *[Symbol.asyncIterator]() {
      for await (const chunks of layer) {
        let start = 0;
        for (const [index, chunk] of chunks.entries()) {
          if (chunk.kind === 'bytes' || passes(chunk.size)) continue;
          if (index > start) yield chunks.slice(start, index);
          start = index + 1;
          for await (const bytes of readContent(chunk)) yield [{ kind: 'bytes', bytes } satisfies Chunk];
          closeChunk(chunk);
        }
        if (start < chunks.length) yield chunks.slice(start);
      }
    },
    [Symbol.asyncDispose]: () => layer[Symbol.asyncDispose](),
  };
}
