import assert from 'node:assert/strict';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { repairText } from '../../../src/cli/reports/repair.js';
import { repairRepository } from '../../../src/oci/repair/repair.js';
import type { RepairReport } from '../../../src/oci/repair/report.js';
import { openRepairSources } from '../../../src/oci/repair/sources.js';
import { subpathsOf } from '../../../src/ostree/form.js';
import { commitCheck } from '../../../src/ostree/fsck.js';
import { OstreeFolder } from '../../../src/ostree/local/repository.js';
import { pullLocalCommit } from '../../../src/ostree/local/pull-local.js';
import { readCommit } from '../../../src/ostree/stream/read-commit.js';
import { storeCommitStream } from '../../../src/ostree/stream/write-commit.js';
import { fsckRepository } from '../../../src/repository/fsck/fsck.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { fastFolder } from '../../support/fast-folder.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { withoutLeak } from '../../support/open-fds.js';
import { digestsOf, idsOf } from '../../support/ostree/digests.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
import { archivedFile, recordedRepositories } from '../../support/ostree/recorded-repositories.js';
import { filesBelow } from '../../support/walk.js';

const LARGE = 'much of it '.repeat(40_000);
const OLD = {
  'usr/bin/tool': 'tool '.repeat(100),
  'usr/large': LARGE,
  'usr/few': 'few',
  'etc/same': 'same '.repeat(99),
};
const NEW = { ...OLD, 'usr/bin/tool': 'newer tool '.repeat(100), 'usr/new': 'new '.repeat(500) };

describe('repair of commits', () => {
  const scratch = mkdtempSync(join(fastFolder, 'cfsbridge-test-'));
  after(() => rmSync(scratch, { recursive: true, force: true }));
  const archive = join(scratch, 'archive');
  const sound = join(scratch, 'sound');
  /** The commits, with objects of other names. */
  const other = join(scratch, 'other');
  let old: string;
  let latest: string;

  before(async () => {
    [old, latest] = writeArchive(archive, { old: OLD, new: NEW }) as [string, string];
    initRepository(sound, { insecure: true });
    using repository = await Repository.open(sound, { write: true });
    using folder = OstreeFolder.open(archive);
    for (const ref of ['old', 'new']) await pullLocalCommit(repository, folder, ref, { localFetch: 'disabled' });
    for (const form of [
      { fixXattrs: true, subpaths: [] },
      { fixXattrs: false, subpaths: subpathsOf(['usr/bin', 'etc']) },
    ])
      await pullLocalCommit(repository, folder, 'new', { localFetch: 'disabled', form });
    initRepository(other, { insecure: true, algorithm: 'sha256' });
    using another = await Repository.open(other, { write: true });
    for (const ref of ['old', 'new']) await pullLocalCommit(another, folder, ref, { localFetch: 'disabled' });
  });

  function copyOf(t: TestContext): string {
    const path = mkdtempSync(join(scratch, 'copy-'));
    t.after(() => rmSync(path, { recursive: true }));
    cpSync(sound, path, { recursive: true, verbatimSymlinks: true });
    return path;
  }

  const streams = (path: string, beginning: string): string[] =>
    readdirSync(join(path, 'streams'))
      .filter((name) => name.startsWith(beginning))
      .map((name) => join(path, 'streams', name));

  const damage = (file: string): void => {
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 0x40;
    writeFileSync(file, bytes);
  };

  const largest = (path: string): string =>
    filesBelow(join(path, 'objects')).sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0]!;

  /** What goes wrong, and whether it comes back without a source. */
  const DAMAGES: readonly [what: string, apply: (path: string) => void | Promise<void>, alone: boolean][] = [
    ['a file is damaged', (path) => damage(largest(path)), false],
    ['a file is missing', (path) => rmSync(largest(path)), false],
    [
      'all objects but streams and images are missing',
      (path) => {
        const kept = new Set(
          ['streams', 'images'].flatMap((area) => links(path, area)).map(([link]) => realpathSync(link)),
        );
        for (const file of filesBelow(join(path, 'objects'))) if (!kept.has(realpathSync(file))) rmSync(file);
      },
      false,
    ],
    ['a commit stream is damaged', (path) => damage(realpathSync(streams(path, `ostree-commit-${latest}`)[0]!)), true],
    ['a commit stream is missing', (path) => rmSync(realpathSync(streams(path, `ostree-commit-${old}`)[0]!)), false],
    ['the name of a commit stream is missing', (path) => rmSync(streams(path, `ostree-commit-${old}`)[0]!), false],
    [
      'the streams of commits that are kept otherwise are damaged',
      (path) => streams(path, 'ostree-variant-').forEach((link) => damage(realpathSync(link))),
      true,
    ],
    ['images are damaged', (path) => links(path, 'images').forEach(([link]) => damage(realpathSync(link))), true],
    ['images are missing', (path) => links(path, 'images').forEach(([link]) => rmSync(realpathSync(link))), true],
    ['names of images are missing', (path) => links(path, 'images').forEach(([link]) => rmSync(link)), true],
    ['all objects are gone', (path) => rmSync(join(path, 'objects'), { recursive: true }), false],
    ['a commit has the content of another file', exchange, false],
  ];

  /** A commit stream that is what its digest says, and in which two files have each other's content. */
  async function exchange(path: string): Promise<void> {
    using repository = await Repository.open(path, { write: true });
    const { objects, image } = await readCommit(repository, old);
    const [first, second, ...others] = idsOf(objects.references);
    const wrong = {
      bytes: objects.chunk,
      objects: digestsOf(repository.algorithm, [second!, first!, ...others]),
    };
    await repository.linkStream(`ostree-commit-${old}`, await storeCommitStream(repository, wrong, image));
  }

  const links = (path: string, area: string): [link: string, target: string][] =>
    filesBelow(join(path, area)).map((link) => [link, readlinkSync(link)]);

  const sources: Readonly<Record<string, (t: TestContext) => Promise<string>>> = {
    'a folder': async () => archive,
    'a file URL': async () => `file://${archive}`,
    'a server': async (t) => (await archiveServer(t, [archive])).url,
    'a repository like it': async () => sound,
    'one of another algorithm': async () => other,
  };

  for (const [what, apply] of DAMAGES)
    for (const [kind, open] of Object.entries(sources))
      test(`when ${what}, everything comes back from ${kind}`, async (t) => {
        const path = copyOf(t);
        await apply(path);
        const report = await repair(path, [await open(t)]);
        assert.ok(report.ok, repairText(report));
        assert.deepEqual(report.sources, []);
        await assertSound(path);
        const names = ['streams', 'images'].map((area) =>
          links(path, area).map(([link, target]) => [link.slice(path.length), target]),
        );
        const before = ['streams', 'images'].map((area) =>
          links(sound, area).map(([link, target]) => [link.slice(sound.length), target]),
        );
        assert.deepEqual(names, before);
      });

  for (const [what, apply, alone] of DAMAGES)
    test(`when ${what}, without a source ${alone ? 'everything comes back' : 'it is said what is lost'}`, async (t) => {
      const path = copyOf(t);
      await apply(path);
      const report = await repair(path, []);
      assert.equal(report.ok, alone, repairText(report));
      if (alone) return await assertSound(path);
      assert.ok(report.affected.length > 0);
      for (const { problems } of report.affected)
        assert.match(problems[0]!, /^ostree commit [0-9a-f]{64}: .*(?:missing|lost)/);
      // No name of a commit goes, and a source completes it later.
      assert.ok((await repair(path, [archive])).ok);
      await assertSound(path);
    });

  test('each of several sources gives what it has', async (t) => {
    const path = copyOf(t);
    rmSync(join(path, 'objects'), { recursive: true });
    const halves = ['one', 'other'].map((name) => {
      const half = mkdtempSync(join(scratch, `${name}-`));
      cpSync(archive, half, { recursive: true });
      return half;
    });
    filesBelow(join(archive, 'objects'))
      .sort()
      .forEach((file, i) => rmSync(join(halves[i % 2]!, file.slice(archive.length))));
    const commit = readCommitFile(old);
    for (const half of halves) cpSync(join(archive, commit), join(half, commit));
    cpSync(join(archive, readCommitFile(latest)), join(halves[0]!, readCommitFile(latest)));
    const report = await repair(path, halves);
    assert.ok(report.ok, repairText(report));
    await assertSound(path);
  });

  const readCommitFile = (id: string): string => `objects/${id.slice(0, 2)}/${id.slice(2)}.commit`;

  for (const mode of ['bare-user-only', 'archive'])
    test(`a repository of mode ${mode} that ostree wrote is a source`, async (t) => {
      const recorded = recordedRepositories(t, 'canonical');
      const path = mkdtempSync(join(scratch, 'canonical-'));
      initRepository(path, { insecure: true, algorithm: 'sha256' });
      {
        using repository = await Repository.open(path, { write: true });
        using folder = OstreeFolder.open(`${recorded}/archive`);
        await pullLocalCommit(repository, folder, 'test/canonical', { localFetch: 'disabled' });
      }
      for (const file of filesBelow(join(path, 'objects'))) damage(file);
      const report = await repair(path, [`${recorded}/${mode}`]);
      assert.ok(report.ok, repairText(report));
      await assertSound(path);
    });

  test('nothing of a source that lies replaces anything, and the next source helps', async (t) => {
    const path = copyOf(t);
    const file = largest(path);
    damage(file);
    const lying = mkdtempSync(join(scratch, 'lying-'));
    cpSync(archive, lying, { recursive: true });
    const { objects } = await commitOfLargest();
    const id = Array.from(objects).find(({ object }) => object !== undefined && file.endsWith(objectPath(object)))!.id;
    const other = Array.from(objects).find((entry) => entry.object !== undefined && entry.id !== id)!.id;
    cpSync(archivedFile(archive, other), archivedFile(lying, id));
    const report = await repair(path, [lying]);
    assert.equal(report.ok, false);
    assert.match(report.sources[0]!.message, new RegExp(id));
    assert.deepEqual(report.repaired, []);
    assert.equal(report.quarantined.length, 1);
    const again = await repair(path, [lying, archive]);
    assert.ok(again.ok, repairText(again));
    assert.deepEqual(
      again.repaired.map(({ from }) => from),
      [`file ${id} of ${archive}`],
    );
    await assertSound(path);
  });

  async function commitOfLargest() {
    using repository = await Repository.open(sound);
    return await readCommit(repository, latest);
  }

  test('of a commit that no name keeps nothing stays when nobody has it', async (t) => {
    const path = copyOf(t);
    for (const link of streams(path, `ostree-commit-${old}`)) damage(realpathSync(link));
    rmSync(join(path, 'streams/refs/ostree/old'));
    const report = await repair(path, []);
    assert.deepEqual(
      report.affected.map(({ image }) => image),
      [old],
    );
    assert.ok((await repair(path, [])).ok);
    await assertSound(path);
  });

  test('passwords of sources are not shown', async () => {
    await assert.rejects(openRepairSources(['ftp://me:secret@localhost/repo']), (error: Error) => {
      assert.doesNotMatch(`${error.message} ${(error.cause as Error).message}`, /secret/);
      return true;
    });
    await using sources = await openRepairSources(['http://me:secret@localhost/repo']);
    assert.equal(sources.all[0]?.name, 'http://localhost/repo');
  });
});

async function repair(path: string, names: readonly string[]): Promise<RepairReport> {
  return await withoutLeak(async () => {
    using repository = await Repository.open(path, { write: true });
    await using sources = await openRepairSources(names);
    return await repairRepository(repository, { sources: sources.all });
  });
}

async function assertSound(path: string): Promise<void> {
  using repository = await Repository.open(path);
  const { errors } = await fsckRepository(repository, { checkCommit: commitCheck(repository, false) });
  assert.deepEqual(errors, []);
}
