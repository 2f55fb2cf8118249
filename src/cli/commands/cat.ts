import { bytesOf } from '../../bytes.js';
import { NotFoundError } from '../../errors.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { sendMerged } from '../../repository/send-merged.js';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

const REFS = 'refs/';

/** `cat`: writes a stream with its external content in place. */
export async function run(session: Session, [name]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  using stream = repository.openStream(streamObject(repository, name));
  await session.out.direct((fd) => sendMerged(fd, repository, stream, session.signal));
}

function streamObject(repository: Repository, name: string): ObjectId {
  const contentId = name.startsWith(REFS) ? repository.readRef('streams', bytesOf(name.slice(REFS.length))) : bytesOf(name);
  const id = contentId === undefined ? undefined : repository.streamObject(contentId);
  if (id === undefined) throw new NotFoundError(`there is no stream "${name}"; oci images lists what can be asked for by tag`);
  return id;
}
