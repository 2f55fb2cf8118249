import { openSource } from '../../oci/source/open.js';
import { admission } from '../../registry/policy/policy.js';
import { openStorageImage } from '../../oci/source/storage.js';
import type { ImageSource } from '../../oci/source/source.js';
import type { LocalFetch } from '../../repository/local-fetch.js';
import { applyDelta } from '../../oci/delta/apply.js';
import { isDeltaSource } from '../../oci/delta/delta.js';
import { pullImage } from '../../oci/pull/pull.js';
import { addStats, describeObjects } from '../../oci/pull/stats.js';
import type { PullEvent, PullOptions, PullResult } from '../../oci/pull/types.js';
import { describeLateMark } from '../../oci/image/mark-order.js';
import { describeOtherPlatform } from '../../oci/pull/other-platform.js';
import { implement, type VarlinkReplies, type VarlinkCall, type VarlinkHandler } from '../../rpc/varlink/server.js';
import type { ConnectionRepositories } from './handles.js';
import { bootImageOf, bootWish, type BootImage } from './boot-image.js';
import { ociMethods, type PullFrame, type PullParams } from '../../rpc/contracts/oci.js';

/** cfsctl's words; any other one stands for `disabled`. */
const LOCAL_FETCH: Readonly<Record<string, LocalFetch>> = {
  auto: 'auto',
  'if-possible': 'auto',
  zerocopy: 'zerocopy',
  'zero-copy': 'zerocopy',
};

/** What a word that a client gives means. */
export function localFetchOf(word: string): LocalFetch {
  return (Object.hasOwn(LOCAL_FETCH, word) && LOCAL_FETCH[word]) || 'disabled';
}

/** Pull: brings an image into the repository and tells about it as it goes on. */
export function pullHandlers(repositories: ConnectionRepositories): [string, VarlinkHandler][] {
  return [implement(ociMethods.Pull, (parameters, call) => pull(repositories, parameters, call))];
}

async function* pull(
  repositories: ConnectionRepositories,
  parameters: PullParams,
  call: VarlinkCall,
): VarlinkReplies<PullFrame> {
  using repository = await repositories.use(parameters.handle, 'write', call.signal);
  const wish = bootWish(parameters, repository.algorithm);
  const stop = new AbortController();
  const signal = AbortSignal.any([call.signal, stop.signal]);
  await using source = await open(parameters, signal);
  const frames = new Frames();
  const options: PullOptions = {
    name: parameters.name ?? undefined,
    localFetch: localFetchOf(parameters.local_fetch),
    bootable: wish.kind === 'made' && wish.xattrs === 'allowlist-only',
    signal,
    ...(call.more && { onEvent: (event: PullEvent) => frames.add(event) }),
  };
  const pulled = (
    isDeltaSource(source) ? applyDelta(repository, source, options) : pullImage(repository, source, options)
  ).finally(() => frames.end());
  // Its failure is seen when all that came before has been sent.
  pulled.catch(() => undefined);
  try {
    for await (const frame of frames) yield { parameters: frame };
    const result = await pulled;
    return { parameters: { completed: completed(result, await bootImageOf(repository, result, wish, signal)) } };
  } finally {
    // Nobody reads on, or the pull is over.
    stop.abort(new Error('the caller went away'));
    await pulled.catch(() => undefined);
  }
}

function open({ image, storage_root: graphroot }: PullParams, signal: AbortSignal): Promise<ImageSource> {
  return graphroot == null
    ? openSource(image, { signal })
    : openStorageImage(image, { graphroot, signal, admit: admission({}) });
}

function completed(
  { manifestDigest, configDigest, manifestStream, configStream, layers }: PullResult,
  boot: BootImage | undefined,
): NonNullable<PullFrame['completed']> {
  return {
    manifest_digest: manifestDigest,
    config_digest: configDigest,
    manifest_verity: manifestStream,
    config_verity: configStream,
    stats: describeObjects(addStats(layers)),
    boot_image: boot?.id ?? null,
    boot_image_mode: boot?.xattrs ?? null,
    boot_image_format_version: boot === undefined ? null : `V${boot.version}`,
  };
}

/**
 * What happened and was not sent yet. Of a layer's progress only the last is kept, so that a slow reader costs no
 * memory.
 */
class Frames implements AsyncIterable<PullFrame> {
  readonly #waiting: PullFrame[] = [];
  readonly #progress = new Map<string, PullFrame>();
  readonly #sizes = new Map<string, number | undefined>();
  readonly #started = new Set<string>();
  #wake: () => void = () => {};
  #ended = false;

  add(event: PullEvent): void {
    switch (event.kind) {
      case 'layers':
        this.#waiting.push({ message: `${event.layers.length} layers` });
        for (const { diffId, size } of event.layers) this.#sizes.set(diffId, size);
        break;
      case 'progress':
        this.#start(event.diffId);
        this.#progress.set(event.diffId, {
          progress: { id: event.diffId, fetched: event.done, total: this.#sizes.get(event.diffId) ?? null },
        });
        break;
      case 'present':
        this.#waiting.push({ skipped: { id: event.diffId } });
        break;
      case 'imported':
        this.#start(event.diffId);
        this.#flushProgress();
        this.#waiting.push({ done: { id: event.diffId, transferred: event.stats.tarBytes } });
        break;
      case 'unverified':
        break;
      case 'late-mark':
        this.#waiting.push({ message: describeLateMark(event) });
        break;
      case 'platform':
        this.#waiting.push({ message: describeOtherPlatform(event) });
        break;
      default:
        this.#waiting.push({ message: `EROFS image ${event.id}` });
    }
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PullFrame, void, void> {
    for (;;) {
      this.#flushProgress();
      yield* this.#waiting.splice(0);
      if (this.#waiting.length > 0 || this.#progress.size > 0) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Layers begin some at a time; one that is there already never does. */
  #start(id: string): void {
    if (!this.#sizes.has(id) || this.#started.has(id)) return;
    this.#started.add(id);
    this.#waiting.push({ started: { id, total: this.#sizes.get(id) ?? null, unit: 'Bytes' } });
  }

  #flushProgress(): void {
    this.#waiting.push(...this.#progress.values());
    this.#progress.clear();
  }
}
