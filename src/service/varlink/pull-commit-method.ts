import { describeRetry, type Retry } from '../../http/retry.js';
import { openOstreeRepository, pullCommit } from '../../ostree/open.js';
import type { FetchProgress } from '../../ostree/pull/fetch-commit.js';
import type { PulledCommit } from '../../ostree/pull/pull.js';
import { NOT_LOOKED_AT } from '../../ostree/verify/commit-check.js';
import { ostreeMethods, type PullCommitFrame, type PullCommitParams } from '../../rpc/contracts/ostree.js';
import { implement, type VarlinkCall, type VarlinkHandler, type VarlinkReplies } from '../../rpc/varlink/server.js';
import { checksOf, erofsVersionOf, formOf, remoteOf } from './commit-options.js';
import type { ConnectionRepositories } from './handles.js';
import { localFetchOf } from './pull-method.js';

/** Pull of `org.composefs.bridge.Ostree`: brings a commit into the repository and tells about it as it goes on. */
export function pullCommitHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [implement(ostreeMethods.Pull, (parameters, call) => pull(repositories, parameters, call))];
}

async function* pull(
  repositories: ConnectionRepositories,
  { handle, place, ref, base_name: base, local_fetch: localFetch, delta, ...choice }: PullCommitParams,
  call: VarlinkCall,
): VarlinkReplies<PullCommitFrame> {
  using repository = await repositories.use(handle, 'write', call.signal);
  const form = formOf(choice.fix_xattrs, choice.subpaths);
  const checks = checksOf(choice.verification);
  const erofsVersion = erofsVersionOf(choice.erofs_version);
  const stop = new AbortController();
  const frames = new Frames();
  if (checks.keys === undefined) frames.message(NOT_LOOKED_AT);
  const onRetry = (retry: Retry): void => frames.message(describeRetry(retry));
  await using from = openOstreeRepository(place, { ...remoteOf(choice.server, call), onRetry });
  const pulled = pullCommit(repository, from, ref, {
    ...checks,
    base: base ?? undefined,
    localFetch: localFetch == null ? 'auto' : localFetchOf(localFetch),
    deltas: delta !== false,
    form,
    erofsVersion,
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
  deltaParts,
}: PulledCommit): NonNullable<PullCommitFrame['completed']> {
  const counts = { metadata, files, reused, delta_parts: deltaParts ?? null };
  return { commit, verity: stream, image, name: ref ?? null, ...counts };
}

/** What was not sent yet. Of the progress only the last is kept, so that a slow reader costs no memory. */
class Frames implements AsyncIterable<PullCommitFrame> {
  readonly #messages: PullCommitFrame[] = [];
  #progress: PullCommitFrame | undefined;
  #wake: () => void = () => {};
  #ended = false;

  progress({ metadata, files, filesLeft, bytes }: FetchProgress): void {
    this.#progress = { progress: { metadata, files, files_left: filesLeft, bytes } };
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
