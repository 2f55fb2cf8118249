// A server of repositories in this process, and clients of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect, Fd, listen } from '../../../src/fd/fd-passing.js';
import type { ClientLimits } from '../../../src/limits.js';
import { initRepository } from '../../../src/repository/init.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { serveListener } from '../../../src/service/serve-listener.js';
import { HandleTable } from '../../../src/service/varlink/handles.js';
import { ociMethods } from '../../../src/rpc/contracts/oci.js';
import { repositoryMethods } from '../../../src/rpc/contracts/repository.js';
import { serveRepositories } from '../../../src/service/varlink/repository-service.js';
import { Layout, tarOf } from '../images/source-layout.js';
import { fastFolder } from '../fast-folder.js';

/** Files of the image: above 64 bytes they become objects. */
const files = (layer: string): Record<string, Buffer> =>
  Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`${layer}${i}`, Buffer.alloc(100 + i * 50, `${layer}${i} `)]),
  );

export class RepositoryServer implements AsyncDisposable {
  readonly folder = mkdtempSync(join(fastFolder, 'varlink-'));
  readonly socket = join(this.folder, 'socket');
  /** of the layers of the image, base first */
  readonly tars = [tarOf(files('a')), tarOf(files('b'))];
  readonly errors: unknown[] = [];
  readonly #stop = new AbortController();
  #served = Promise.resolve();

  /** @param limits of its clients: how long a lease that is not read, or awaited, lasts, is short */
  static async start(limits: Partial<ClientLimits> = { unread: 200, held: 3000 }): Promise<RepositoryServer> {
    const server = new RepositoryServer();
    const layout = new Layout(join(server.folder, 'layout'));
    layout.publish({ it: layout.image(server.tars.map((tar) => ({ tar }))) });
    const handles = new HandleTable();
    const listener = await listen(server.socket);
    server.#served = serveListener(
      listener,
      (connection, signal, share) => serveRepositories(connection, handles, signal, share),
      {
        limits,
        signal: server.#stop.signal,
        onError: (error) => void server.errors.push(error),
      },
    );
    return server;
  }

  get image(): string {
    return `oci:${join(this.folder, 'layout')}:it`;
  }

  /** A new repository without fs-verity. */
  repository(name: string, algorithm: Algorithm = 'sha256'): string {
    const path = join(this.folder, name);
    initRepository(path, { algorithm, insecure: true });
    return path;
  }

  async client(): Promise<VarlinkConnection> {
    return new VarlinkConnection(await connect(this.socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#served;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function openHandle(client: VarlinkConnection, path: string): Promise<number> {
  return (await client.call(repositoryMethods.OpenRepository, { path })).parameters.handle;
}

/** Pulls the image; the last reply of Pull. */
export async function pullInto(
  client: VarlinkConnection,
  handle: number,
  image: string,
  name: string,
): Promise<{ manifest_digest: string; config_verity: string }> {
  const { parameters } = await client.call(ociMethods.Pull, {
    handle,
    image,
    name,
    local_fetch: 'disabled',
    bootable: false,
  });
  return parameters.completed!;
}

/** Asks for a layer with all descriptors in one reply. */
export async function getLayer(
  client: VarlinkConnection,
  handle: number,
  diffId: string,
): Promise<{ stream: Fd; directory: Fd; lifetime: Fd }> {
  const { fds } = await client.call(ociMethods.GetLayer, {
    handle,
    params: { diff_id: diffId, consumer_has_cap_dac_override: true },
  });
  const [stream, directory, lifetime] = fds;
  return { stream: stream!, directory: directory!, lifetime: lifetime! };
}
