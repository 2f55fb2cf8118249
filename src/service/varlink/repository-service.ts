import type { Connection } from '../../fd/fd-passing.js';
import { serveVarlink } from '../../rpc/varlink/server.js';
import { serviceHandlers } from '../../rpc/varlink/service.js';
import { VERSION } from '../../version.js';
import { Leases } from '../leases.js';
import { finalizeHandlers } from './finalize-method.js';
import { ConnectionRepositories, type HandleTable } from './handles.js';
import { imageHandlers } from './image-methods.js';
import { internalError } from './internal-error.js';
import { layerHandlers } from './layer-methods.js';
import { maintenanceHandlers } from './maintenance-methods.js';
import { mountHandlers } from './mount-methods.js';
import { ociInterface } from './oci-interface.js';
import { pullHandlers } from './pull-method.js';
import { repositoryInterface } from './repository-interface.js';
import { openingHandlers } from './repository-methods.js';

/** What this program says of itself. */
export const ABOUT = { vendor: 'composefs-bridge', product: 'cfsbridge', version: VERSION, url: '' };

/**
 * So long may a client read on after it closed its connection, in milliseconds: what it needs are the descriptors. What it
 * holds longer is taken from it, since nothing would ever end that.
 */
export const LEASE_GRACE = 60_000;

/** Calls carry manifests and configs, of at most 16 MiB each, as JSON strings. */
const MAX_CALL = 64 << 20;

/**
 * Serves composefs repositories to one connection, as `org.composefs.Repository` and `org.composefs.Oci`, until the client
 * closes it. Takes ownership of `connection`.
 * @param handles shared by all connections of a service
 * @param leaseGrace milliseconds, see LEASE_GRACE
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveRepositories(connection: Connection, handles: HandleTable, signal: AbortSignal, leaseGrace = LEASE_GRACE): Promise<void> {
  using repositories = new ConnectionRepositories(handles);
  await using leases = new Leases();
  const interfaces = [repositoryInterface, ociInterface];
  const handlers = new Map([
    ...serviceHandlers(ABOUT, interfaces),
    ...openingHandlers(repositories),
    ...maintenanceHandlers(repositories),
    ...imageHandlers(repositories),
    ...pullHandlers(repositories),
    ...mountHandlers(repositories),
    ...layerHandlers(repositories, leases, signal),
    ...finalizeHandlers(repositories),
  ]);
  const names = [...interfaces.map(({ name }) => name), 'org.varlink.service'];
  try {
    await serveVarlink(connection, { handlers, interfaces: names, internalError }, { signal, maxMessage: MAX_CALL });
  } finally {
    repositories[Symbol.dispose]();
    await leases.settle(leaseGrace, signal);
  }
}
