// Kills clients and servers at random moments of a pull and looks at what is left.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bytesOf } from '../../../src/bytes.js';
import { BridgeError } from '../../../src/errors.js';
import { openPath } from '../../../src/fd/fd.js';
import { files } from '../../../src/native.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSplitfdstreamImage } from '../../../src/oci/source/splitfdstream.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { makeStore, type MadeEntry } from '../images/made-store.js';
import { problemsOf } from './check-repository.js';

const IMAGE = 'localhost/many:1';
/** The server is asked for each of them, so it is needed until the pull is nearly over. */
const LAYERS = 12;
const program = (name: string): string => fileURLToPath(new URL(`${name}.program.js`, import.meta.url));

export interface KillOptions {
  rounds: number;
  seed: number;
  /** looks at the repository besides, after each kill and after each pull that followed */
  check?: (repository: string) => void;
}

/** How many of the kills hit a pull that was not done. */
export interface KillOutcome {
  kills: number;
  during: number;
}

/** A store whose pull takes a while, its server as a process, and one repository at a time. */
export class KillBench implements AsyncDisposable {
  readonly #folder: string;
  readonly #graphroot: string;
  readonly #socket: string;
  readonly #repository: string;
  #server: ChildProcess | undefined;
  #expected = '';

  /** @param parent folder to work in; syncing a busy disk can take much longer than everything else here */
  constructor(parent: string) {
    this.#folder = mkdtempSync(join(parent, 'kills-'));
    this.#graphroot = join(this.#folder, 'store');
    this.#socket = join(this.#folder, 'socket');
    this.#repository = join(this.#folder, 'repository');
  }

  async start(): Promise<void> {
    makeStore(this.#graphroot, [
      { name: IMAGE, layers: Array.from({ length: LAYERS }, (_, layer) => ({ entries: entries(layer) })) },
    ]);
    await this.#startServer();
    initRepository(this.#repository, { insecure: true });
    {
      using repository = await Repository.open(this.#repository, { write: true });
      await using source = await openStorageImage(IMAGE, { graphroot: this.#graphroot });
      this.#expected = (await pullImage(repository, source)).images.get(1) as string;
    }
    await this.#check(undefined);
  }

  async killClients({ rounds, seed, check }: KillOptions): Promise<KillOutcome> {
    const random = generator(seed);
    let during = 0;
    const duration = await this.#timedClient();
    for (let round = 0; round < rounds; round++) {
      this.#renew();
      const child = await this.#client();
      await sleep(random() * duration);
      child.kill('SIGKILL');
      if (child.exitCode === null) await once(child, 'close');
      if (child.signalCode === 'SIGKILL') during++;
      await this.#check(check);
      await this.#pull();
      check?.(this.#repository);
    }
    return { kills: rounds, during };
  }

  async killServers({ rounds, seed, check }: KillOptions): Promise<KillOutcome> {
    const random = generator(seed);
    let during = 0;
    const duration = await this.#timedPull();
    for (let round = 0; round < rounds; round++) {
      this.#renew();
      const pulling = this.#pull().then(
        () => undefined,
        (error: unknown) => error,
      );
      await sleep(random() * duration);
      await this.#stopServer();
      const error = await pulling;
      if (error !== undefined) {
        assert.ok(error instanceof BridgeError, String(error));
        during++;
      }
      await this.#check(check);
      await this.#startServer();
      await this.#pull();
      check?.(this.#repository);
    }
    return { kills: rounds, during };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopServer();
    rmSync(this.#folder, { recursive: true });
  }

  #renew(): void {
    rmSync(this.#repository, { recursive: true });
    initRepository(this.#repository, { insecure: true });
  }

  /** Milliseconds that an undisturbed pull takes. */
  async #timedPull(): Promise<number> {
    this.#renew();
    const start = performance.now();
    await this.#pull();
    return performance.now() - start;
  }

  async #timedClient(): Promise<number> {
    this.#renew();
    const child = await this.#client();
    const start = performance.now();
    await once(child, 'close');
    return performance.now() - start;
  }

  /** A client that begins to pull just now. */
  async #client(): Promise<ChildProcess> {
    const child = spawn(process.execPath, [program('pull'), this.#repository, this.#socket, IMAGE], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    return child;
  }

  /** Takes the image from the server; it must become what it was when it came from the store. */
  async #pull(): Promise<void> {
    using repository = await Repository.open(this.#repository, { write: true });
    await using source = await openSplitfdstreamImage(this.#socket, IMAGE);
    const { images } = await pullImage(repository, source, { name: IMAGE, localFetch: 'disabled' });
    assert.equal(images.get(1), this.#expected);
  }

  async #check(also: ((repository: string) => void) | undefined): Promise<void> {
    assert.deepEqual(await problemsOf(this.#repository), []);
    also?.(this.#repository);
    await this.#lockIsFree();
  }

  /** What podman would do. The server has to notice first that its client is gone. */
  async #lockIsFree(): Promise<void> {
    using lock = openPath(bytesOf(join(this.#graphroot, 'overlay-layers/layers.lock')), constants.O_RDWR);
    for (const deadline = performance.now() + 2000; !files.ofdLock(lock.number, 'exclusive'); await sleep(2)) {
      assert.ok(performance.now() < deadline, 'the layers of the store stay locked');
    }
  }

  async #startServer(): Promise<void> {
    this.#server = spawn(process.execPath, [program('serve'), this.#graphroot, this.#socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(this.#server.stdout!, 'data');
  }

  async #stopServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    server.kill('SIGKILL');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'close');
  }
}

function entries(layer: number): MadeEntry[] {
  const folder = { name: `usr/lib${layer}/`, type: '5', mode: 0o755 };
  const made = Array.from({ length: 50 }, (_, i) => ({
    name: `usr/lib${layer}/file${i}`,
    content: Buffer.alloc(i % 25 === 0 ? 400_000 : 50 + i * 37, `${layer}/${i} `),
  }));
  return [{ name: 'usr/', type: '5', mode: 0o755 }, folder, ...made];
}

/** Numbers from 0 to 1, the same ones for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
