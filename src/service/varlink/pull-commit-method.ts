import { WHOLE } from '../../ostree/form.js';
import { openOstreeRepository, pullCommit } from '../../ostree/open.js';
import type { FetchProgress } from '../../ostree/pull/fetch-commit.js';
import type { PulledCommit } from '../../ostree/pull/pull.js';
import { ostreeMethods, type PullCommitFrame, type PullCommitParams } from '../../rpc/contracts/ostree.js';
import { implement, type VarlinkCall, type VarlinkHandler, type VarlinkReplies } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { localFetchOf } from './pull-method.js';

/** Pull of `org.composefs.bridge.Ostree`: brings a commit into the repository and tells about it as it goes on. */
export function pullCommitHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [implement(ostreeMethods.Pull, (parameters, call) => pull(repositories, parameters, call))];
}

async function* pull(
  repositories: ConnectionRepositories,
  { handle, place, ref, base_name: base, local_fetch: localFetch, delta, fix_xattrs: fixXattrs }: PullCommitParams,
  call: VarlinkCall,
): VarlinkReplies<PullCommitFrame> {
  using repository = await repositories.use(handle, 'write', call.signal);
  const stop = new AbortController();
  await using from = openOstreeRepository(place);
  const frames = new Frames();
  const pulled = pullCommit(repository, from, ref, {
    base: base ?? undefined,
    localFetch: localFetch == null ? 'auto' : localFetchOf(localFetch),
    deltas: delta !== false,
    form: { ...WHOLE, fixXattrs: fixXattrs === true },
    signal: AbortSignal.any([call.signal, stop.signal]),
    ...(call.more && {
      onProgress: (at: FetchProgress) => frames.progress(at),
      onWarning: (message: string) => frames.message(message),
    }),
  }).finally(() => frames.end());
  // Its failure is seen when all that came before has been sent.
  pulled.catch(() => undefined);
  try {
    for await (const frame of frames) yield { parameters: frame };
    return { parameters: { completed: completed(await pulled) } };
  } finally {
    // Nobody reads on, or the pull is over.
    stop.abort(new Error('the caller went away'));
    await pulled.catch(() => undefined);
  }
}

function completed({
  commit,
  stream,
  image,
  ref,
  metadata,
  files,
  reused,
}: PulledCommit): NonNullable<PullCommitFrame['completed']> {
  return { commit, verity: stream, image, name: ref ?? null, metadata, files, reused };
}

/** What was not sent yet. Of the progress only the last is kept, so that a slow reader costs no memory. */
class Frames implements AsyncIterable<PullCommitFrame> {
  readonly #messages: PullCommitFrame[] = [];
  #progress: PullCommitFrame | undefined;
  #wake: () => void = () => {};
  #ended = false;

  progress({ metadata, files, filesLeft }: FetchProgress): void {
    this.#progress = { progress: { metadata, files, files_left: filesLeft } };
    this.#wake();
  }

  message(message: string): void {
    this.#messages.push({ message });
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PullCommitFrame, void, void> {
    for (;;) {
      yield* this.#messages.splice(0);
      const last = this.#progress;
      this.#progress = undefined;
      if (last !== undefined) yield last;
      if (this.#messages.length > 0 || this.#progress !== undefined) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
