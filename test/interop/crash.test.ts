import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test, type TestContext } from 'node:test';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { collectGarbage } from '../../src/repository/gc/gc.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { listTags, removeTag } from '../../src/repository/tags.js';
import { Random } from '../support/random.js';
import { assertNothingLost, copySource, TagLedger, Worker } from '../support/faults/gc-workers.js';
import { FailingFilesystem, LoopFilesystem, whyNoLoop } from '../support/filesystems.js';
import { smallIndex, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';

const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');
const skip = existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it';

const KILLS = 300;
const AT_ONCE = 4;
const CONCURRENT_MS = 60_000;
const FULL_ROUNDS = 40;
const READ_ONLY_ROUNDS = 20;
const DEVICE_ROUNDS = 30;

let store: SmallStore;
before(() => {
  store = unpackSmallStore();
});
after(() => store.remove());

function newRepository(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'crash-'));
  t.after(() => rmSync(path, { recursive: true }));
  initRepository(path, { insecure: true });
  return path;
}

/** The repository that workers copy from: some images of the store. */
async function makeCopySource(t: TestContext, path: string): Promise<void> {
  const source = copySource(path);
  t.after(() => rmSync(source, { recursive: true }));
  initRepository(source, { insecure: true });
  using repository = await Repository.open(source, { write: true });
  for (const name of ['localhost/alpha:v1', 'localhost/alpha:v2', 'localhost/alpha:v3']) {
    await using image = await openStorageImage(name, { graphroot: store.graphroot });
    await pullImage(repository, image, { name });
  }
}

function assertCfsctlContent(path: string): void {
  const { status, stdout } = spawnSync(cfsctl, ['--repo', path, 'oci', 'fsck'], { encoding: 'utf8' });
  assert.match(stdout, /^status: ok$/m);
  assert.equal(status, 0, stdout);
}

describe('bad luck', { skip }, () => {
  test(`${KILLS} kills at random moments leave a repository that both programs call sound, with all tags`, async (t) => {
    const path = newRepository(t);
    await makeCopySource(t, path);
    const ledger = new TagLedger();
    const random = new Random(20);
    for (let kills = 0; kills < KILLS; kills += AT_ONCE) {
      const jobs = ['pull,tag,untag,gc', 'pull,untag,copy,gc', 'gc', 'copy,tag,gc'];
      const workers = jobs.map(
        (work, slot) => new Worker(path, store.graphroot, `w${slot}`, 1 + kills + slot, work, ledger),
      );
      await Promise.all(
        workers.map(async (worker) => {
          await worker.ready;
          await setTimeout(random.upTo(500));
          await worker.kill();
        }),
      );
      await assertNothingLost(path, ledger);
      assertCfsctlContent(path);
    }
    const { tag, copy, untag, gc, removed } = ledger.done;
    t.diagnostic(
      `${tag} tags written, ${copy} of them by copies, ${untag} removed, ${gc} garbage collections removed ` +
        `${removed} objects`,
    );
    // The kills must have hit work of every kind.
    assert.ok(tag > 50 && copy > 10 && untag > 20 && gc > 30 && removed > 200, JSON.stringify(ledger.done));
  });

  test('four processes that pull and two that collect garbage for a minute lose nothing', async (t) => {
    const path = newRepository(t);
    const ledger = new TagLedger();
    const workers = ['pull,untag', 'pull,pull,untag', 'pull,tag,untag', 'pull', 'gc', 'gc'].map(
      (work, slot) => new Worker(path, store.graphroot, `w${slot}`, slot + 1, work, ledger),
    );
    await Promise.all(workers.map(({ ready }) => ready));
    await setTimeout(CONCURRENT_MS);
    for (const worker of workers) await worker.kill();
    await assertNothingLost(path, ledger);
    assertCfsctlContent(path);
    const { tag, untag, gc, removed, failed } = ledger.done;
    t.diagnostic(
      `${tag} tags written, ${untag} removed, ${gc} garbage collections removed ${removed} objects, failed: ` +
        `${[...failed].join(' ')}`,
    );
    assert.ok(tag > 50 && gc > 10 && removed > 100, JSON.stringify(ledger.done));
  });
});

describe('a device that stops taking writes', { skip: skip || whyNoLoop('ext4') }, () => {
  /** Pulls all images with a tag each, untags some, collects garbage; in this order, until something fails. */
  async function work(path: string, round: number, written: Map<string, string>): Promise<void> {
    using repository = await Repository.open(path, { write: true });
    const images = Object.values(smallIndex());
    for (let i = 0; i < 4; i++) {
      const image = images[(5 * round + i) % images.length]!;
      await using source = await openStorageImage(image.image_id, { graphroot: store.graphroot });
      const tag = `${image.dir}-${round % 3}`;
      try {
        const { manifestDigest } = await pullImage(repository, source, { name: tag, localFetch: 'disabled' });
        written.set(tag, manifestDigest);
      } catch (error) {
        if (!isUnsuitable(error)) throw error;
      }
    }
    for (const { name } of listTags(repository).slice(0, 4)) {
      written.delete(name);
      removeTag(repository, name);
    }
    await collectGarbage(repository);
  }

  async function collect(path: string): Promise<void> {
    using repository = await Repository.open(path, { write: true });
    await collectGarbage(repository);
  }

  /** Images of the store that cannot become composefs images, room or not. */
  function isUnsuitable(error: unknown): boolean {
    return (
      error instanceof Error &&
      'code' in error &&
      error.code !== 'EROFS' &&
      /^(?:TREE|TAR|LAYER|DIGEST|OCI|NOT_)/.test(String(error.code))
    );
  }

  async function check(path: string, written: ReadonlyMap<string, string>): Promise<void> {
    assertCfsctlContent(path);
    using repository = await Repository.open(path);
    const present = new Map(listTags(repository).map(({ name, manifestDigest }) => [name, manifestDigest]));
    for (const [tag, digest] of written) assert.equal(present.get(tag), digest, tag);
  }

  test('a full disk, at random points: the error says so, and nothing is lost', async (t) => {
    using filesystem = new LoopFilesystem('ext4', 24);
    const path = join(filesystem.path, 'repository');
    initRepository(path, { insecure: true });
    const written = new Map<string, string>();
    const random = new Random(7);
    let full = 0;
    for (let round = 0; round < FULL_ROUNDS; round++) {
      const filler = join(filesystem.path, 'filler');
      spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=16k'], { stdio: 'ignore' });
      const left = random.upTo(round % 2 === 0 ? 400_000 : 60_000);
      truncateSync(filler, Math.max(0, statSync(filler).size - left));
      try {
        await work(path, round, written);
      } catch (error) {
        assert.ok(
          error instanceof Error && 'code' in error && /^(?:ENOSPC|GC_INCOMPLETE)$/.test(String(error.code)),
          String(error),
        );
        assert.match(error.message, /no space left on device/i);
        full++;
      }
      await check(path, written);
      rmSync(filler);
    }
    t.diagnostic(`full in ${full} of ${FULL_ROUNDS} rounds, ${written.size} tags at the end`);
    assert.ok(full > FULL_ROUNDS / 5 && written.size > 3);
    await collect(path);
    await check(path, written);
  });

  test('a device that fails writes from a random moment on: what was reported is there', async (t) => {
    using filesystem = new FailingFilesystem(64);
    const path = join(filesystem.path, 'repository');
    initRepository(path, { insecure: true });
    const written = new Map<string, string>();
    const random = new Random(11);
    const start = performance.now();
    await work(path, DEVICE_ROUNDS, written);
    const usual = performance.now() - start;
    let failed = 0;
    for (let round = 0; round < DEVICE_ROUNDS; round++) {
      const running = work(path, round, written).then(
        () => undefined,
        (error: unknown) => error,
      );
      await setTimeout(random.upTo(Math.floor(usual)));
      filesystem.fail();
      const error = await running;
      if (error !== undefined) {
        assert.ok(
          error instanceof Error &&
            'code' in error &&
            /^(?:EROFS|EIO|ESHUTDOWN|EUCLEAN|GC_INCOMPLETE|REPOSITORY_READ_ONLY)$/.test(String(error.code)),
          String(error),
        );
        failed++;
      }
      filesystem.recover();
      // What the pull under way had written is garbage, and lost its content when the device did not take it.
      await collect(path);
      await check(path, written);
    }
    t.diagnostic(`failed in ${failed} of ${DEVICE_ROUNDS} rounds, ${written.size} tags at the end`);
    assert.ok(failed > DEVICE_ROUNDS / 3 && written.size > 3, `${failed} failures, ${written.size} tags`);
  });

  test('a file system that becomes read-only, at random points: a clear error, and nothing is lost', async (t) => {
    using filesystem = new LoopFilesystem('ext4', 64);
    const path = join(filesystem.path, 'repository');
    initRepository(path, { insecure: true });
    const written = new Map<string, string>();
    const random = new Random(9);
    let readOnly = 0;
    for (let round = 0; round < READ_ONLY_ROUNDS; round++) {
      const running = work(path, round, written).then(
        () => undefined,
        (error: unknown) => error,
      );
      await setTimeout(random.upTo(80));
      // What the kernel does itself when the device fails; remounting is refused while files are being written.
      execFileSync('mount', ['-o', 'remount,abort', filesystem.path], { stdio: 'pipe' });
      const error = await running;
      if (error !== undefined) {
        assert.ok(
          error instanceof Error &&
            'code' in error &&
            /^(?:EROFS|EIO|ESHUTDOWN|EUCLEAN|GC_INCOMPLETE|REPOSITORY_READ_ONLY)$/.test(String(error.code)),
          String(error),
        );
        readOnly++;
      }
      filesystem.remount();
      // Objects of the pull that was under way may have lost their content with the power; nothing leads to them.
      await collect(path);
      await check(path, written);
    }
    t.diagnostic(`read-only in ${readOnly} of ${READ_ONLY_ROUNDS} rounds, ${written.size} tags at the end`);
    assert.ok(readOnly > 3);
    writeFileSync(join(filesystem.path, 'works'), '');
    await collect(path);
    await check(path, written);
  });
});
