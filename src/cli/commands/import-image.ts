import { bytesOf } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import { checkPath } from '../../repository/links.js';
import { IMAGES } from '../../repository/names.js';
import { openRepository } from '../open-repository.js';
import { standardInput } from '../standard-input.js';
import type { GlobalOptions, Session } from '../session.js';

/** `import-image`: stores whatever comes on standard input as an image. */
export async function run(session: Session, [reference]: [string], options: GlobalOptions): Promise<void> {
  checkPath(bytesOf(reference));
  using repository = await openRepository(session, options, 'write');
  const id = await repository.objects.put(await readInput(session.signal));
  await repository.linkImage(id);
  repository.writeRef(IMAGES, bytesOf(reference), id);
  await session.out.line(`${repository.algorithm}:${id}`);
}

async function readInput(signal: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of standardInput() as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    length += piece.length;
    if (length > EROFS_IMAGE_LIMIT)
      throw new FormatError('EROFS_TOO_LARGE', `an image of more than ${EROFS_IMAGE_LIMIT} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
