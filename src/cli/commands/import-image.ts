import { IMAGE_MAX } from '../../erofs/format.js';
import { bytesOf } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { checkPath } from '../../repository/links.js';
import { openRepository } from '../open-repository.js';
import { standardInput } from '../standard-input.js';
import type { GlobalOptions, Session } from '../session.js';

/** `import-image`: stores whatever comes on standard input as an image. */
export async function run(session: Session, [reference]: [string], options: GlobalOptions): Promise<void> {
  checkPath(bytesOf(reference));
  using repository = await openRepository(session, options, 'write');
  const id = await repository.objects.put(await readInput(session.signal));
  await repository.linkImage(id);
  repository.writeRef('images', bytesOf(reference), id);
  await session.out.line(`${repository.algorithm}:${id}`);
}

async function readInput(signal: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of standardInput() as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    length += piece.length;
    if (length > IMAGE_MAX) throw new FormatError('EROFS_TOO_LARGE', `an image of more than ${IMAGE_MAX} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
