import type { Connection } from '../../fd/fd-passing.js';
import { CALL_DOCUMENT_LIMIT, JSON_ESCAPED } from '../../limits.js';
import { serveVarlink } from '../../rpc/varlink/server.js';
import { serviceHandlers } from '../../rpc/varlink/service.js';
import { VERSION } from '../../version.js';
import { Leases } from '../leases.js';
import { servingLimits, Shares } from '../shares.js';
import { finalizeHandlers } from './finalize-method.js';
import { ConnectionRepositories, type HandleTable } from './handles.js';
import { imageHandlers } from './image-methods.js';
import { internalError } from './internal-error.js';
import { layerHandlers } from './layer-methods.js';
import { maintenanceHandlers } from './maintenance-methods.js';
import { mountHandlers } from './mount-methods.js';
import { ociInterface, ociMethods } from '../../rpc/contracts/oci.js';
import { ostreeInterface } from '../../rpc/contracts/ostree.js';
import { ostreeHandlers } from './ostree-methods.js';
import { pullCommitHandlers } from './pull-commit-method.js';
import { pullHandlers } from './pull-method.js';
import { repositoryInterface } from '../../rpc/contracts/repository.js';
import { openingHandlers } from './repository-methods.js';

/** What this program says of itself. */
export const ABOUT = { vendor: 'composefs-bridge', product: 'cfsbridge', version: VERSION, url: '' };

/** Manifests and configs come as JSON strings, which may be long. */
const LONG_STRINGS = new Map([
  [ociMethods.FinalizeImage.name, { count: 2, bytes: JSON_ESCAPED * CALL_DOCUMENT_LIMIT }],
]);

/**
 * Serves composefs repositories to one connection, as `org.composefs.Repository`, `org.composefs.Oci` and
 * `org.composefs.bridge.Ostree`, until the client closes it. Takes ownership of `connection`.
 * @param handles shared by all connections of a service
 * @param share what the client may take, which this disposes
 * @param onRemark is told what replies have no place for
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveRepositories(
  connection: Connection,
  handles: HandleTable,
  signal: AbortSignal,
  share = new Shares().connection(connection.peer.uid),
  onRemark?: (remark: string) => void,
): Promise<void> {
  using ended = share;
  using repositories = new ConnectionRepositories(handles, ended);
  await using leases = new Leases(share);
  const interfaces = [repositoryInterface, ociInterface, ostreeInterface];
  const handlers = new Map([
    ...serviceHandlers(ABOUT, interfaces),
    ...openingHandlers(repositories),
    ...maintenanceHandlers(repositories),
    ...imageHandlers(repositories, onRemark),
    ...pullHandlers(repositories),
    ...mountHandlers(repositories),
    ...ostreeHandlers(repositories),
    ...pullCommitHandlers(repositories),
    ...layerHandlers(repositories, leases, signal),
    ...finalizeHandlers(repositories, onRemark),
  ]);
  const names = [...interfaces.map(({ name }) => name), 'org.varlink.service'];
  try {
    await serveVarlink(
      connection,
      { handlers, interfaces: names, internalError },
      { signal, ...servingLimits(share, LONG_STRINGS) },
    );
  } finally {
    repositories[Symbol.dispose]();
    await leases.settle(signal);
  }
}
