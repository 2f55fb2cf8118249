import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Bench } from './bench.js';
import { canMount } from './own-mounts.js';
import { Unavailable } from './place.js';

const IN_PEERS = fileURLToPath(new URL('../../scripts/in-peers.sh', import.meta.url));

/** docker's registry and skopeo in the Debian tree of scripts/peers.sh, and a folder that they and we see. */
export class RegistryServer implements AsyncDisposable {
  readonly folder: string;
  /** the same as the programs of the tree see it */
  readonly inside: string;
  /** runs skopeo, which knows that the registry has no TLS; what it gets is paths inside */
  readonly skopeo: readonly string[];
  /** has cfsctl find it, too */
  readonly environment: Readonly<Record<string, string>>;
  host = '';
  #child: ChildProcess | undefined;

  private constructor(peers: string) {
    this.folder = mkdtempSync(join(peers, 'share/bench-registry-'));
    this.inside = `/share/${basename(this.folder)}`;
    const programs = join(this.folder, 'bin');
    const wrapper = join(programs, 'skopeo');
    const conf = `${this.inside}/registries.conf`;
    mkdirSync(programs);
    writeFileSync(
      wrapper,
      `#!/bin/sh\nexec chroot '${join(peers, 'sid')}' skopeo --insecure-policy --registries-conf ${conf} "$@"\n`,
    );
    chmodSync(wrapper, 0o755);
    this.skopeo = [wrapper];
    this.environment = { PATH: `${programs}:${process.env['PATH']}` };
  }

  /** @throws Unavailable without root or these programs */
  static async start(bench: Bench): Promise<RegistryServer> {
    if (!canMount() || !existsSync(join(bench.peers, 'sid/usr/bin/docker-registry')))
      throw new Unavailable('a registry needs root and scripts/peers.sh');
    execFileSync(IN_PEERS, ['true'], { env: { ...process.env, CFSBRIDGE_PEERS: bench.peers } });
    const server = new RegistryServer(bench.peers);
    try {
      await server.restart(bench.peers);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** An empty registry, at another port, so that nobody knows where a blob could be taken from. */
  async restart(peers: string): Promise<void> {
    await this.#stop();
    rmSync(join(this.folder, 'registry'), { recursive: true, force: true });
    const config = {
      version: '0.1',
      log: { level: 'info' },
      storage: { filesystem: { rootdirectory: `${this.inside}/registry` } },
      http: { addr: '127.0.0.1:0' },
    };
    writeFileSync(join(this.folder, 'registry.yml'), JSON.stringify(config));
    const log = join(this.folder, 'registry.log');
    const output = openSync(log, 'w');
    const command = [join(peers, 'sid'), 'docker-registry', 'serve', `${this.inside}/registry.yml`];
    this.#child = spawn('chroot', command, { stdio: ['ignore', output, output] });
    closeSync(output);
    for (let host: string | undefined; host === undefined; await pause(20)) {
      const said = readFileSync(log, 'utf8');
      if (this.#child.exitCode !== null) throw new Error(`docker-registry ended: ${said}`);
      host = /listening on (127\.0\.0\.1:\d+)/.exec(said)?.[1];
      if (host !== undefined) this.host = host;
    }
    const registries = `unqualified-search-registries = []\n[[registry]]\nlocation = "${this.host}"\ninsecure = true\n`;
    writeFileSync(join(this.folder, 'registries.conf'), registries);
  }

  /** The reference by which skopeo knows an image of a store, or a place for one. */
  stored(graphroot: string, image: string): string {
    return `containers-storage:[overlay@${graphroot}+${this.inside}/run]localhost/${image}:latest`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    await once(child, 'exit');
  }
}
