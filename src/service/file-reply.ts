import { constants } from 'node:fs';
import { tmpdir } from 'node:os';
import { bytesOf, showBytes } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { openPath, type Fd } from '../fd/fd.js';
import { PartFailure, PartWriter } from '../fd/part-writer.js';
import { stripForLegacy } from '../layer/legacy-tar.js';
import { encodeSplitfdstream } from '../layer/splitfdstream.js';
import { closeChunk } from '../layer/stream.js';
import type { Reply } from '../rpc/jsonrpc/method.js';
import type { GetSplitFDStreamResult } from '../rpc/contracts/splitfdstream.js';
import type { LayerToSend } from './lend.js';

/**
 * Most files that go as descriptors: clients of this form keep all of a layer open at once, and 1024 is the usual limit
 * of a process. The smallest files beyond travel inside the stream.
 */
const MOST_FILES = 900;

/**
 * What such an answer takes until the client has read it: the files, the stream twice, and what reading the layer
 * takes.
 */
export const FILE_REPLY_DESCRIPTORS = MOST_FILES + 12;

const O_TMPFILE = 0o20200000;

/**
 * A layer as one descriptor per file, for clients that know nothing else. The stream is complete before the answer.
 * Open files keep their content, so nothing stays locked.
 * @param open starts reading the layer; called twice
 * @param exact keep padding and end blocks, which the protocol's first form leaves out
 */
export async function fileReply(
  open: () => Promise<LayerToSend>,
  exact: boolean,
): Promise<Reply<GetSplitFDStreamResult>> {
  const passes = largest(await smallestToPass(open));
  // Only its owner may open it again, and nobody through the descriptor that is passed, which cannot be written to.
  using writable = openPath(bytesOf(tmpdir()), O_TMPFILE | constants.O_RDWR, 0o400);
  const stream = openPath(`/proc/self/fd/${writable.number}`);
  const files: Fd[] = [];
  try {
    const { layer, directory } = await open();
    await using _ = layer;
    // Positioned, so that the client finds the descriptor's own offset at 0.
    await using out = new PartWriter(writable.number, { position: 0 });
    await encodeSplitfdstream(
      exact ? layer : stripForLegacy(layer),
      out,
      directory === undefined ? () => false : passes,
      files,
    );
    return {
      result: { streamSize: await out.end(), ...(exact ? { exact: true as const } : {}) },
      fds: [stream, ...files],
    };
  } catch (error) {
    for (const fd of [stream, ...files]) fd.close();
    throw placed(error);
  }
}

function placed(error: unknown): unknown {
  if (!(error instanceof PartFailure) || error.entry === undefined) return error;
  return new BridgeError(error.code, error.message, { place: { entry: showBytes(error.entry) } });
}

/** What to pass as descriptors: files of more bytes than `size`, and the first `ties` of just as many. */
interface Cut {
  size: number;
  ties: number;
}

async function smallestToPass(open: () => Promise<LayerToSend>): Promise<Cut> {
  const sizes: number[] = [];
  await using layer = (await open()).layer;
  for await (const chunks of layer) {
    for (const chunk of chunks) {
      if (chunk.kind !== 'bytes') sizes.push(chunk.size);
      closeChunk(chunk);
    }
  }
  if (sizes.length <= MOST_FILES) return { size: 0, ties: 0 };
  sizes.sort((a, b) => b - a);
  const size = sizes[MOST_FILES] as number;
  return { size, ties: MOST_FILES - sizes.filter((other) => other > size).length };
}

/** Whether a file is among the largest; to be asked once for each. */
function largest({ size, ties }: Cut): (size: number) => boolean {
  let left = ties;
  return (other) => other > size || (other === size && left-- > 0);
}
