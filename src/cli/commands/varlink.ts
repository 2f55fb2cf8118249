import { listen } from '../../fd/fd-passing.js';
import { HandleTable } from '../../service/varlink/handles.js';
import { serveRepositories } from '../../service/varlink/repository-service.js';
import { serveVarlinkRepositories } from '../../service/varlink/serve.js';
import { inheritedSocket, notifySystemd } from '../../service/systemd.js';
import { describeError, UsageError } from '../errors.js';
import type { Session } from '../session.js';
import { talk } from '../talk.js';
import type { VarlinkCommandOptions } from './varlink.options.js';

/** `varlink`: serves repositories as org.composefs.Repository, org.composefs.Oci and org.composefs.bridge.Ostree until it is stopped. */
export async function run({ signal }: Session, _: [], { address }: VarlinkCommandOptions): Promise<void> {
  const inherited = inheritedSocket(process.env, { signal });
  const onRemark = (remark: string): void => talk(`${remark}\n`);
  if (inherited?.kind === 'connection') {
    await notifySystemd('READY=1', process.env);
    return await serveRepositories(inherited.connection, new HandleTable(), signal, undefined, onRemark);
  }
  if (inherited === undefined && address === undefined) {
    throw new UsageError('varlink needs --address PATH, or a socket from systemd (LISTEN_FDS)');
  }
  const listener = inherited?.listener ?? (await listen(pathOf(address as string), { signal }));
  talk(`serving repositories on ${inherited ? 'the inherited socket' : address}\n`);
  await notifySystemd('READY=1', process.env);
  await serveVarlinkRepositories(listener, {
    signal,
    onRemark,
    onError: (error) => talk(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`),
  });
}

/** Varlink's own way to write a socket's path is allowed, too. */
function pathOf(address: string): string {
  return address.startsWith('unix:') ? address.slice('unix:'.length) : address;
}
