import { copyImage } from '../../oci/copy.js';
import { Repository } from '../../repository/repository.js';
import { openRepository } from '../open-repository.js';
import { PullProgress } from '../pull-progress.js';
import type { GlobalOptions, Session } from '../session.js';

export interface CopyCommandOptions extends GlobalOptions {
  from: string;
  name?: string;
  zerocopy?: true;
}

/** `oci copy`: brings an image of another repository into this one. */
export async function run(session: Session, [image]: [string], { from, name, zerocopy, ...options }: CopyCommandOptions): Promise<void> {
  using source = await openSourceRepository(from, session.signal);
  using repository = await openRepository(session, options, 'write');
  await using progress = await PullProgress.start(process.stderr);
  const result = await copyImage(source, repository, image, { name, zeroCopy: zerocopy === true, signal: session.signal, onEvent: (event) => progress.show(event) });
  await progress[Symbol.asyncDispose]();
  const { out } = session;
  await out.line(`Copied image ${image} from ${from} to destination repo${name === undefined ? '' : `, tagged as ${name}`}`);
  await out.line(`Manifest digest: ${result.manifestDigest}`);
  await out.line(`Manifest verity: ${result.manifestStream}`);
  await out.line(`Config digest:   ${result.configDigest}`);
  await out.line(`Config verity:   ${result.configStream}`);
}

async function openSourceRepository(path: string, signal: AbortSignal): Promise<Repository> {
  try {
    return await Repository.open(path, { signal });
  } catch (cause) {
    throw new Error(`opening source repository ${path}`, { cause });
  }
}
