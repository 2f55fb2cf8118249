import { listen } from '../../fd/fd-passing.js';
import { HandleTable } from '../../service/varlink/handles.js';
import { serveRepositories } from '../../service/varlink/repository-service.js';
import { serveVarlinkRepositories } from '../../service/varlink/serve.js';
import { inheritedSocket, notifySystemd } from '../../service/systemd.js';
import { describeError, UsageError } from '../errors.js';
import type { GlobalOptions, Session } from '../session.js';

export interface VarlinkCommandOptions extends GlobalOptions {
  address?: string;
}

/** `varlink`: serves repositories as org.composefs.Repository and org.composefs.Oci until it is stopped. */
export async function run({ signal }: Session, _: [], { address }: VarlinkCommandOptions): Promise<void> {
  const inherited = inheritedSocket(process.env, { signal });
  if (inherited?.kind === 'connection') return serveRepositories(inherited.connection, new HandleTable(), signal);
  if (inherited === undefined && address === undefined) {
    throw new UsageError('varlink needs --address PATH, or a socket from systemd (LISTEN_FDS)');
  }
  const listener = inherited?.listener ?? (await listen(pathOf(address as string), { signal }));
  process.stderr.write(`serving repositories on ${inherited ? 'the inherited socket' : address}\n`);
  await notifySystemd('READY=1', process.env);
  await serveVarlinkRepositories(listener, { signal, onError: (error) => process.stderr.write(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`) });
}

/** Varlink's own way to write a socket's path is allowed, too. */
function pathOf(address: string): string {
  return address.startsWith('unix:') ? address.slice('unix:'.length) : address;
}
