import { createHash } from 'node:crypto';
import { bytesOf, showBytes, type ByteString } from '../../bytes.js';
import { NotFoundError } from '../../errors.js';
import { checkSent } from '../../oci/image/hashed-layer.js';
import { mergedStream } from '../../repository/splitstream/merged.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { askedRef, parseContentId, STREAMS } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import type { SplitstreamReader } from '../../repository/splitstream/reader.js';
import { sendMerged } from '../../repository/splitstream/send-merged.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

/** `cat`: writes a stream with its external content in place. */
export async function run(session: Session, [name]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const { id, contentId } = streamOf(repository, name);
  using stream = repository.openStream(id);
  if (!repository.believed) return await session.out.pipe(hashed(repository, stream, contentId, session.signal));
  await session.out.direct((fd) => sendMerged(fd, repository, stream, session.signal));
}

function streamOf(repository: Repository, name: string): { id: ObjectId; contentId: ByteString } {
  const ref = askedRef(name);
  const contentId = ref === undefined ? bytesOf(name) : repository.readRef(STREAMS, bytesOf(ref));
  const id = contentId === undefined ? undefined : repository.streamObject(contentId);
  if (id === undefined)
    throw new NotFoundError(`there is no stream "${name}"; oci images lists what can be asked for by tag`);
  return { id, contentId: contentId as ByteString };
}

/**
 * What a stream of a repository stands for whose owner is not believed; ends with an error when it is not what it is
 * called.
 */
async function* hashed(
  repository: Repository,
  stream: SplitstreamReader,
  contentId: ByteString,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const called = parseContentId(contentId);
  if (called === undefined)
    throw new Error(
      `"${showBytes(contentId)}" is not called by the digest of its content, and the owner of the repository is ` +
        'not to be believed',
    );
  const hash = createHash('sha256');
  for await (const piece of mergedStream(repository.objects, stream, signal)) {
    hash.update(piece);
    yield piece;
  }
  checkSent(called.kind, called.digest, `sha256:${hash.digest('hex')}`);
}
