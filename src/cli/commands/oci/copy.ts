import { resolve } from 'node:path';
import { copyFrom, copyImage } from '../../../oci/push/copy.js';
import { locateServedImage } from '../../../oci/source/location.js';
import type { PullEvent, PullResult } from '../../../oci/pull/types.js';
import { Repository } from '../../../repository/repository.js';
import { isTrustedFolder } from '../../../repository/trust.js';
import { UsageError } from '../../errors.js';
import { openRepository } from '../../open-repository.js';
import { PullProgress } from '../../pull-progress.js';
import type { Session } from '../../session.js';
import { talk } from '../../talk.js';
import type { CopyCommandOptions } from './copy.options.js';

interface Stored {
  manifestDigest: string;
  manifestVerity: string;
  configDigest: string;
  configVerity: string;
}

/** `oci copy`: brings an image of another repository into this one, or the other way round. */
export async function run(session: Session, [image]: [string], options: CopyCommandOptions): Promise<void> {
  const { to, name } = options;
  const stored = await copy(session, image, options);
  const { out } = session;
  const tagged = name === undefined ? '' : `, tagged as ${name}`;
  await out.line(
    to === undefined
      ? `Copied image ${image} from ${options.from} to destination repo${tagged}`
      : `Copied image ${image} to ${to}${tagged}`,
  );
  await out.line(`Manifest digest: ${stored.manifestDigest}`);
  await out.line(`Manifest verity: ${stored.manifestVerity}`);
  await out.line(`Config digest:   ${stored.configDigest}`);
  await out.line(`Config verity:   ${stored.configVerity}`);
}

async function copy(session: Session, image: string, options: CopyCommandOptions): Promise<Stored> {
  const { from, to, socket } = options;
  if (to !== undefined) {
    if (socket === undefined)
      throw new UsageError("option '--to' needs '--socket'; without a server, copy from the other repository");
    return await sendToServer(session, image, socket, to, options);
  }
  if (from === undefined) throw new UsageError("one of the options '--from' and '--to' is needed");
  return await (socket === undefined
    ? copyHere(session, image, from, options)
    : copyFromServer(session, image, socket, from, options));
}

async function copyHere(session: Session, image: string, from: string, options: CopyCommandOptions): Promise<Stored> {
  using source = await openSourceRepository(from, session.signal);
  using repository = await openRepository(session, options, 'write');
  return await shown((onEvent) => copyImage(source, repository, image, { ...copyOptions(session, options), onEvent }));
}

async function copyFromServer(
  session: Session,
  image: string,
  socket: string,
  from: string,
  options: CopyCommandOptions,
): Promise<Stored> {
  await using source = await locateServedImage(socket, image, from).open({ signal: session.signal });
  using repository = await openRepository(session, options, 'write');
  return await shown((onEvent) => copyFrom(source, repository, { ...copyOptions(session, options), onEvent }));
}

async function sendToServer(
  session: Session,
  image: string,
  socket: string,
  to: string,
  options: CopyCommandOptions,
): Promise<Stored> {
  const { signal } = session;
  const [{ RemoteRepository }, { copyTo }] = await Promise.all([
    import('../../../oci/remote/remote-repository.js'),
    import('../../../oci/push/remote.js'),
  ]);
  using repository = await openRepository(session, options, 'read');
  await using destination = await RemoteRepository.connect(socket, resolve(to), { signal });
  const onLayer = (diffId: string, present: boolean): void =>
    talk(`layer ${diffId} ${present ? 'already there' : 'sent'}\n`);
  return await copyTo(repository, image, destination, { ...copyOptions(session, options), onLayer });
}

function copyOptions(
  { signal }: Session,
  { name, zerocopy }: CopyCommandOptions,
): { name: string | undefined; zeroCopy: boolean; signal: AbortSignal } {
  return { name, zeroCopy: zerocopy === true, signal };
}

async function shown(pull: (onEvent: (event: PullEvent) => void) => Promise<PullResult>): Promise<Stored> {
  await using progress = await PullProgress.start(process.stderr, 'layers');
  const result = await pull((event) => progress.show(event));
  await progress[Symbol.asyncDispose]();
  return {
    manifestDigest: result.manifestDigest,
    manifestVerity: result.manifestStream,
    configDigest: result.configDigest,
    configVerity: result.configStream,
  };
}

async function openSourceRepository(path: string, signal: AbortSignal): Promise<Repository> {
  try {
    return await Repository.open(path, { trust: isTrustedFolder(path), signal });
  } catch (cause) {
    throw new Error(`opening source repository ${path}`, { cause });
  }
}
