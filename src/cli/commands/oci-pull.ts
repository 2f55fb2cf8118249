import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { NotFoundError } from '../../errors.js';
import type { OpenDir } from '../../fd/fd.js';
import { findBootImage } from '../../oci/find-boot-image.js';
import type { LocalFetch } from '../../oci/pull/local-fetch.js';
import { pullImage } from '../../oci/pull/pull.js';
import type { PullResult } from '../../oci/pull/types.js';
import { isStorageReference, openSource } from '../../oci/source/open.js';
import type { ImageSource } from '../../oci/source/source.js';
import { linkingMount } from '../../oci/source/storage.js';
import { erofsVersions } from '../../repository/meta.js';
import { parseObjectId, type ObjectId } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import type { MountClone } from '../../storage/mount-clone.js';
import { openRepository, repositoryPath } from '../open-repository.js';
import { UsageError } from '../errors.js';
import { addStats, describeObjects } from '../../oci/pull/stats.js';
import { PullProgress } from '../pull-progress.js';
import type { GlobalOptions, Session } from '../session.js';

export interface PullCommandOptions extends GlobalOptions {
  localFetch: LocalFetch;
  zeroCopy?: true;
  socket?: string;
  from?: string;
  bootable?: true;
  expectedDigest?: string;
  sealSource?: true;
  allowUnverified?: true;
  json?: true;
}

/** `oci pull`: brings an image into the repository. */
export async function run(session: Session, [image, name]: [string, string | undefined], options: PullCommandOptions): Promise<void> {
  if (options.from !== undefined && options.socket === undefined) throw new UsageError("option '--from' says which repository of a server; it needs '--socket'");
  if (options.expectedDigest !== undefined && !options.bootable) throw new UsageError("option '--expected-digest' is about the boot image; it needs '--bootable'");
  // Only files that lie unpacked can be shared; content out of a tar is always new.
  const canShare = options.socket !== undefined || isStorageReference(image);
  const localFetch = !canShare ? 'disabled' : options.zeroCopy ? 'zerocopy' : options.localFetch;
  using mount = options.socket === undefined && canShare ? cloneMount(image, options) : undefined;
  using repository = await openRepository(session, options, 'write', mount?.openDir);
  const expected = options.expectedDigest === undefined ? undefined : parseObjectId(options.expectedDigest, repository.algorithm);
  await using source = await open(session, image, options, mount?.openDir);
  await using progress = await PullProgress.start(process.stderr);
  const result = await pullImage(repository, source, {
    name: name ?? image,
    localFetch,
    bootable: options.bootable === true && expected === undefined,
    sealSource: options.sealSource === true,
    allowUnverified: options.allowUnverified === true,
    erofsVersion: options.erofsVersion,
    signal: session.signal,
    onEvent: (event) => progress.show(event),
  });
  await progress[Symbol.asyncDispose]();
  if (options.json) await session.out.json(asJson(result));
  else await printText(session, result);
  await reportBootImage(session, repository, result, expected, options.json === true);
}

/** Says which EROFS image to boot from; makes the one that is expected. */
async function reportBootImage({ out, signal }: Session, repository: Repository, result: PullResult, expected: ObjectId | undefined, json: boolean): Promise<void> {
  if (expected !== undefined) {
    const { found, tried } = await findBootImage(repository, result.manifestDigest, expected, signal);
    if (found === undefined) throw new NotFoundError(`no boot image of this image has the digest ${expected}; ${tried} ways to make one were tried`);
    if (!json) await out.line(`Boot image: ${expected} (xattr-mode=${found.xattrs}, format-version=V${found.version})`);
    return;
  }
  const [version = 1] = erofsVersions(repository.meta);
  const id = result.bootImages.get(version) ?? result.bootImages.values().next().value;
  if (id !== undefined && !json) await out.line(`Boot image: ${id}`);
}

function cloneMount(image: string, options: PullCommandOptions): MountClone | undefined {
  const path = repositoryPath(options);
  return existsSync(path) ? linkingMount(image, path) : undefined;
}

async function open({ signal }: Session, image: string, { socket, from }: PullCommandOptions, openDir: OpenDir | undefined): Promise<ImageSource> {
  if (socket === undefined) return openSource(image, { openDir, signal });
  const { openSocketImage } = await import('../../oci/source/socket.js');
  // The server runs in another folder.
  return openSocketImage(socket, image, { signal, repository: from === undefined ? undefined : resolve(from) });
}

async function printText({ out }: Session, result: PullResult): Promise<void> {
  await out.line(`manifest ${result.manifestDigest}`);
  await out.line(`config   ${result.configDigest}`);
  await out.line(`verity   ${result.manifestStream}`);
  if (result.tag !== undefined) await out.line(`tagged   ${result.tag}`);
  await out.line(`objects  ${describeObjects(addStats(result.layers))}`);
}

function asJson(result: PullResult): unknown {
  return {
    manifest_digest: result.manifestDigest,
    config_digest: result.configDigest,
    manifest_verity: result.manifestStream,
    config_verity: result.configStream,
    tag: result.tag ?? null,
    images: [...result.images].map(([version, id]) => ({ version, id })),
    boot_images: [...result.bootImages].map(([version, id]) => ({ version, id })),
    layers: result.layers.map(({ diffId, actual, stream, stats }) => ({
      diff_id: diffId,
      verified: actual === diffId,
      actual_diff_id: actual,
      stream,
      already_present: stats === undefined,
      stats: stats ?? null,
    })),
  };
}

