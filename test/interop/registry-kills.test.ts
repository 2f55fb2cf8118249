// Pulls from and pushes to docker's registry, killed at random moments of their whole length: the repository stays
// clean, and the next try completes and brings over what is missing, not all of it. CFSBRIDGE_KILLS says how many kills.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startCli } from '../support/cli/start-cli.js';
import { Layout, tarOf, TYPES } from '../support/images/source-layout.js';
import { CountingProxy } from './counting-proxy.js';
import { startRegistry, type Server } from './docker-registry.js';
import { SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

const KILLS = Number(process.env['CFSBRIDGE_KILLS'] ?? 10);
const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const;
const MIB = 1 << 20;
/** Bytes per second: fast enough for a test, slow enough that most kills come while they are under way. */
const RATE = 16 * MIB;
/** Blobs of up to 8 MiB are brought over as a whole. */
const [LARGE, SMALL] = [24 * MIB, MIB];
/** What may come over twice, of all. */
const TWICE = 0.05;
/**
 * docker's registry 2.8 takes an upload that was cut off for damaged ("resumed at wrong offest"), and then forgets it:
 * what has to be said.
 */
const ANEW = /is sent anew: the registry does not tell what it has of an earlier push/;

/** To the client, and from it. */
type Direction = 'arrived' | 'taken';

/** How much of the image came over in a command that was killed and in the one after it, as parts of all of it. */
interface Twice {
  first: number;
  second: number;
  /** it was killed before it ended */
  early: boolean;
  /** the registry had forgotten what it got, which was said */
  anew: boolean;
}

describe('kills', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let server: Server;
  let proxy: CountingProxy;
  let repository: string;

  before(async () => {
    folder = new SharedFolder();
    server = await startRegistry(folder, 'registry');
    proxy = await CountingProxy.start(server.host, RATE);
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    const layout = new Layout(join(folder.path, 'layout'));
    const tars = [tarOf({ large: randomBytes(LARGE) }), tarOf({ small: randomBytes(SMALL) })];
    const zipped = { mediaType: `${TYPES.layer}+gzip` };
    layout.publish({ it: layout.image(tars.map((tar) => ({ tar, blob: gzipSync(tar), descriptor: zipped }))) });
    await inRepository(repository, 'oci', 'pull', '--keep-blobs', `oci:${layout.path}:it`, 'kept');
    await inRepository(repository, 'oci', 'push', '--tls-verify=false', 'kept', `docker://${proxy.host}/source:1`);
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    server.child.kill();
    if (server.child.exitCode === null && server.child.signalCode === null) await once(server.child, 'close');
    folder[Symbol.dispose]();
  });

  /** @returns standard error */
  async function inRepository(path: string, ...args: string[]): Promise<string> {
    const { status, stderr } = await startCli(['--repo', path, ...args]).ended;
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    return stderr;
  }

  /** @returns milliseconds */
  async function lengthOf(run: () => Promise<unknown>): Promise<number> {
    const start = performance.now();
    await run();
    return performance.now() - start;
  }

  /**
   * @param when ends the command by what it is given
   * @returns whether it was killed before it ended, and the bytes that had come over
   */
  async function killed(
    path: string,
    words: readonly string[],
    direction: Direction,
    when: (kill: () => void) => NodeJS.Timeout | undefined,
  ): Promise<{ early: boolean; bytes: number }> {
    const { child, ended } = startCli(['--repo', path, ...words]);
    let bytes: number | undefined;
    const timer = when(() => {
      // Stopped, so that what is counted is what there is.
      child.kill('SIGSTOP');
      bytes ??= proxy[direction];
      child.kill('SIGKILL');
    });
    const { status, stderr } = await ended;
    clearTimeout(timer);
    assert.ok(status === null || status === 0, stderr);
    return { early: status === null, bytes: bytes ?? proxy[direction] };
  }

  const within =
    (length: number) =>
    (kill: () => void): NodeJS.Timeout =>
      setTimeout(kill, randomInt(Math.ceil(length)));
  /** Half of the image's bytes have passed. */
  const halfway =
    (direction: Direction) =>
    (kill: () => void): undefined => {
      proxy.onBytes = () => {
        if (proxy[direction] >= (LARGE + SMALL) / 2) kill();
      };
    };

  /** Runs a command that is killed, then again to its end. */
  async function twice(
    path: string,
    words: readonly string[],
    direction: Direction,
    when: (kill: () => void) => NodeJS.Timeout | undefined,
    check: () => Promise<unknown>,
  ): Promise<Twice> {
    proxy.reset();
    const { early, bytes } = await killed(path, words, direction, when);
    const first = bytes / (LARGE + SMALL);
    await check();
    proxy.reset();
    const anew = ANEW.test(await inRepository(path, ...words));
    const second = proxy[direction] / (LARGE + SMALL);
    return { first, second, early, anew };
  }

  /** A small blob may come again, with the large one's last bytes and the requests themselves. */
  function assertContinued({ first, second, anew }: Twice): void {
    const most = (anew ? 1 : Math.max(1 - first, 0)) + SMALL / (LARGE + SMALL) + TWICE;
    assert.ok(second <= most, `${percent(second)} after ${percent(first)}`);
  }

  function report(t: TestContext, found: readonly Twice[]): void {
    const early = found.filter((one) => one.early);
    const continued = found.filter(({ anew }) => !anew);
    const again = Math.max(0, ...continued.map(({ first, second }) => first + second - 1));
    const inside = early.filter(({ first }) => first > 0.01 && first < 0.99).length;
    t.diagnostic(
      `${early.length} of ${found.length} were killed before they ended, ${inside} while blobs were under way; ` +
        `${found.length - continued.length} had to begin anew, of the others at most ${percent(again)} came over twice`,
    );
  }

  const pull = (...options: string[]): string[] => [
    ...['oci', 'pull', '--tls-verify=false', '--insecure-policy', ...options],
    ...[`docker://${proxy.host}/source:1`, 'it'],
  ];
  const push = (to: string, compression: string): string[] => [
    ...['oci', 'push', '--tls-verify=false', '--compression', compression],
    ...['kept', `docker://${proxy.host}/${to}:1`],
  ];

  /** What other pushes found out would leave nothing to do. */
  function forgetPushes(): void {
    const notes = join(repository, '.push');
    for (const name of existsSync(notes) ? readdirSync(notes) : []) rmSync(join(notes, name));
  }
  async function forgetPull(path: string): Promise<void> {
    await inRepository(path, 'oci', 'untag', 'it');
    await inRepository(path, 'gc');
  }

  test('a pull killed at 50 % fetches at most 55 % when repeated', async (t) => {
    const path = makeRepository(join(folder.path, 'half'), 'sha256');
    const found = await twice(path, pull(), 'arrived', halfway('arrived'), () => inRepository(path, 'fsck'));
    t.diagnostic(`${percent(found.first)}, then ${percent(found.second)}`);
    assert.ok(found.early && found.second <= 0.55, JSON.stringify(found));
  });

  for (const compression of COMPRESSIONS)
    test(`a push killed at 50 % sends at most 55 % when repeated, or says why not (${compression})`, async (t) => {
      forgetPushes();
      const words = push(`half/${compression}`, compression);
      const check = (): Promise<unknown> => inRepository(repository, 'fsck', '--metadata-only');
      const found = await twice(repository, words, 'taken', halfway('taken'), check);
      t.diagnostic(`${percent(found.first)}, then ${percent(found.second)}${found.anew ? ', the blob anew' : ''}`);
      assert.ok(found.early && (found.anew || found.second <= 0.55), JSON.stringify(found));
    });

  test(`${KILLS} kills of pushes`, async (t) => {
    const lengths = new Map<string, number>();
    for (const compression of COMPRESSIONS) {
      forgetPushes();
      const words = push(`whole/${compression}`, compression);
      lengths.set(compression, await lengthOf(() => inRepository(repository, ...words)));
    }
    const found: Twice[] = [];
    for (let round = 0; round < KILLS; round++) {
      const compression = COMPRESSIONS[round % COMPRESSIONS.length] as string;
      forgetPushes();
      const words = push(`pushed/${round}`, compression);
      const when = within(lengths.get(compression) as number);
      const check = (): Promise<unknown> => inRepository(repository, 'fsck', '--metadata-only');
      const once = await twice(repository, words, 'taken', when, check);
      assertContinued(once);
      found.push(once);
    }
    report(t, found);
  });

  test(`${KILLS} kills of pulls`, async (t) => {
    const path = makeRepository(join(folder.path, 'pulled'), 'sha256');
    const length = await lengthOf(() => inRepository(path, ...pull()));
    await forgetPull(path);
    const found: Twice[] = [];
    for (let round = 0; round < KILLS; round++) {
      const words = pull(...(round % 2 === 0 ? ['--keep-blobs'] : []));
      const once = await twice(path, words, 'arrived', within(length), () => inRepository(path, 'fsck'));
      assertContinued(once);
      found.push(once);
      await inRepository(path, 'oci', 'fsck');
      await forgetPull(path);
    }
    report(t, found);
  });
});

const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
