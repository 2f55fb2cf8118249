import { BridgeError, NotFoundError } from '../errors.js';
import { applyDelta } from '../oci/delta/apply.js';
import { isDeltaSource, readDelta } from '../oci/delta/delta.js';
import { findDelta } from '../oci/delta/find.js';
import { pullImage } from '../oci/pull/pull.js';
import type { PullOptions, PullResult } from '../oci/pull/types.js';
import { describeBytes } from '../oci/pull/stats.js';
import { isRegistryReference, registryNameOf } from '../oci/source/open.js';
import type { ImageSource } from '../oci/source/source.js';
import type { Repository } from '../repository/repository.js';
import { readIfThere } from '../storage/containers-config.js';
import { digestLike, parseManifest } from '../spec/manifest.js';
import { parseRegistryReference, showReference } from '../spec/reference.js';
import { UsageError } from './errors.js';

/** The options about deltas. */
export interface DeltaCommandOptions {
  verifyKey?: string;
  fallback?: string;
  parallel?: number;
  allowUnverified?: true;
  /** false: `--no-delta` */
  delta: boolean;
}

/** What pulling a delta needs besides it. */
export interface DeltaSurroundings {
  /** where the delta is, as somebody wrote it */
  reference: string;
  /** opens another image, as this one was opened */
  open: (reference: string) => Promise<ImageSource>;
  say: (line: string) => void;
}

/**
 * Pulls an image, or makes it of a delta if it is one. Where the image that the delta changes is not there, the new one
 * is pulled from elsewhere: from where the user says, else from the delta's own repository in a registry.
 */
export async function pullImageOrDelta(
  repository: Repository,
  source: ImageSource,
  { verifyKey, fallback, parallel, allowUnverified, delta: deltas }: DeltaCommandOptions,
  pulling: PullOptions,
  surroundings: DeltaSurroundings,
): Promise<PullResult> {
  const inRegistry = isRegistryReference(surroundings.reference);
  if (!isDeltaSource(source)) {
    refuse({ '--verify-key': verifyKey, '--fallback': fallback }, 'a delta', surroundings.reference);
    if (!inRegistry) refuse({ '--parallel': parallel }, 'an image in a registry, or a delta', surroundings.reference);
    const made =
      deltas && !pulling.keepBlobs ? await byFoundDelta(repository, source, pulling, surroundings) : undefined;
    return made ?? (await pullImage(repository, source, pulling));
  }
  if (allowUnverified)
    throw new UsageError("option '--allow-unverified' is not for deltas: they need what they change");
  const key = verifyKey === undefined ? undefined : readKey(verifyKey);
  try {
    return await applyDelta(repository, source, {
      ...pulling,
      // One download at a time fills most lines, and what is made of it meanwhile is the next layer's.
      parallel: parallel ?? (inRegistry ? 1 : undefined),
      verifyKey: key,
    });
  } catch (error) {
    if (!(error instanceof BridgeError && error.code === 'DELTA_BASE')) throw error;
    const whole = fallback ?? (inRegistry ? subjectOf(source, surroundings.reference) : undefined);
    if (whole === undefined) throw error;
    surroundings.say(`warning: ${error.message}; ${whole} is pulled instead`);
    await using image = await surroundings.open(whole);
    if (key !== undefined) await checkSigned(image, source, pulling.signal);
    return await pullImage(repository, image, pulling);
  }
}

/** Makes the image of a delta that its registry has for it. @returns undefined where there is none that can be used */
async function byFoundDelta(
  repository: Repository,
  source: ImageSource,
  pulling: PullOptions,
  { say }: DeltaSurroundings,
): Promise<PullResult | undefined> {
  try {
    await using found = await findDelta(repository, source, pulling);
    if (found === undefined) return undefined;
    const result = await applyDelta(repository, found.source, pulling);
    say(
      `delta ${found.digest} brought the image: ${describeBytes(found.size)} instead of ` +
        `${describeBytes(found.fullSize)}`,
    );
    return result;
  } catch (error) {
    pulling.signal?.throwIfAborted();
    say(`warning: the image itself is pulled, since no delta can be used: ${(error as Error).message}`);
    return undefined;
  }
}

function readKey(path: string): string {
  const text = readIfThere(path);
  if (text === undefined) throw new NotFoundError(`there is no file ${path}`);
  return text;
}

function refuse(options: Readonly<Record<string, unknown>>, what: string, reference: string): void {
  const [given] = Object.entries(options).filter(([, value]) => value !== undefined);
  if (given !== undefined) throw new UsageError(`option '${given[0]}' is about ${what}, which ${reference} is not`);
}

/** The new image, where registries have it: beside the delta. */
function subjectOf(delta: ImageSource, reference: string): string | undefined {
  const { subject } = parseManifest(delta.manifest);
  if (!subject) return undefined;
  const { host, path } = parseRegistryReference(registryNameOf(reference));
  return `docker://${showReference({ host, path, digest: subject.digest })}`;
}

/** The signature that came with the delta is about one manifest. */
async function checkSigned(
  image: ImageSource,
  delta: ImageSource,
  signal = new AbortController().signal,
): Promise<void> {
  const { manifest } = await readDelta(delta, signal);
  if (!manifest.equals(image.manifest))
    throw new BridgeError(
      'DELTA_SIGNATURE',
      `the key signed manifest ${digestLike('sha256:', manifest)}, and ` +
        `${digestLike('sha256:', image.manifest)} would be pulled instead`,
    );
}
