import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startCli, type Ended } from '../../support/cli/start-cli.js';
import { runCli } from '../../support/cli/run-cli.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';
import { encodeSummary, setRef, signCommit, Signer } from '../../support/ostree/signed-commits.js';
import { scratch } from '../../support/scratch.js';

const REF = 'web/stable';
const COLLECTION = 'org.example.Web';

interface Scene {
  archive: string;
  signer: Signer;
  /** unsigned, as all the others are made of it */
  plain: string;
  pull(ref: string, ...options: string[]): Promise<Ended>;
  inspect(name: string): string;
}

/** The ways in which a commit can come, with the commands' arguments before the ref. */
const WAYS: Readonly<Record<string, (t: TestContext, archive: string) => Promise<[string, string]>>> = {
  'pull-local': async (_, archive) => ['pull-local', archive],
  'pull of a file URL': async (_, archive) => ['pull', `file://${archive}`],
  'pull over HTTP': async (t, archive) => ['pull', (await archiveServer(t, [archive])).url],
};

async function scene(t: TestContext, way: string): Promise<Scene> {
  const folder = scratch(t);
  const archive = join(folder, 'archive');
  const [plain] = writeArchive(archive, { [REF]: { 'usr/file': 'content '.repeat(50) } }) as [string];
  const signer = new Signer();
  const repository = ['--repo', join(folder, 'repository')];
  assert.equal(runCli([...repository, 'init', '--insecure']).status, 0);
  const words = await WAYS[way]!(t, archive);
  return {
    archive,
    signer,
    plain,
    pull: (ref, ...options) => startCli([...repository, 'ostree', ...words, ref, ...options]).ended,
    inspect: (name) => runCli([...repository, 'ostree', 'inspect', name]).stdout,
  };
}

function refused({ status, stdout, stderr }: Ended, message: RegExp): void {
  assert.equal(status, 1, stdout);
  assert.match(stderr, message);
}

for (const way of Object.keys(WAYS)) {
  test(`${way}: a commit that is older than the one that has the name is refused, unless that is wanted`, async (t) => {
    const { archive, signer, plain, pull, inspect } = await scene(t, way);
    const keys = ['--verify-ed25519', signer.publicKey];
    const [older, newer, same] = [1000n, 2000n, 2000n].map((timestamp, i) =>
      signCommit(archive, plain, signer, { refs: i === 2 ? [REF, 'other'] : [REF], timestamp }),
    ) as [string, string, string];
    setRef(archive, REF, newer);
    assert.equal((await pull(REF, ...keys)).status, 0);
    setRef(archive, REF, older);
    const downgrade = new RegExp(
      `commit ${older} is of 1970-01-01T00:16:40.000Z, older than the one that ${REF} is now`,
    );
    refused(await pull(REF, ...keys), downgrade);
    assert.match(inspect(REF), new RegExp(newer));
    // Also one that is here already.
    assert.equal((await pull(older, ...keys)).status, 0);
    refused(await pull(REF, ...keys), downgrade);
    assert.match(inspect(REF), new RegExp(newer));
    setRef(archive, REF, same);
    assert.equal((await pull(REF, ...keys)).status, 0);
    setRef(archive, REF, older);
    const { status, stderr } = await pull(REF, ...keys, '--allow-downgrade');
    assert.equal(status, 0, stderr);
    assert.match(inspect(REF), new RegExp(older));
    setRef(archive, REF, newer);
    assert.equal((await pull(REF, ...keys)).status, 0);
  });

  test(`${way}: without a key nothing is older or bound`, async (t) => {
    const { archive, signer, plain, pull } = await scene(t, way);
    for (const timestamp of [2000n, 1000n]) {
      signCommit(archive, plain, signer, { refs: ['elsewhere'], timestamp }, [REF]);
      const { status, stderr } = await pull(REF);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /^Signatures are not looked at/);
    }
  });

  test(`${way}: of a part of a commit, too, an older one is refused`, async (t) => {
    const { archive, signer, plain, pull } = await scene(t, way);
    const options = ['--verify-ed25519', signer.publicKey, '--subpath', '/usr'];
    const [older, newer] = [1000n, 2000n].map((timestamp) =>
      signCommit(archive, plain, signer, { refs: [REF], timestamp }),
    ) as [string, string];
    setRef(archive, REF, newer);
    assert.equal((await pull(REF, ...options)).status, 0);
    setRef(archive, REF, older);
    refused(await pull(REF, ...options), /older than the one/);
    // The whole commit has a name of its own, which nothing had before.
    assert.equal((await pull(REF, ...options.slice(0, 2))).status, 0);
  });

  const BINDINGS: readonly [
    what: string,
    commit: { refs?: readonly string[]; collection?: string },
    options: readonly string[],
    message: RegExp | undefined,
  ][] = [
    ['bound to the ref', { refs: ['a', REF] }, [], undefined],
    ['bound to another ref', { refs: ['web/testing'] }, [], /was signed for ref web\/testing, not for web\/stable/],
    [
      'bound to a ref that begins alike',
      { refs: [`${REF}2`, 'web'] },
      [],
      /was signed for ref web\/stable2, ref web, not/,
    ],
    ['bound to no ref', {}, [], /was signed for no ref, not for web\/stable/],
    ['bound to a list of no refs', { refs: [] }, [], /was signed for no ref/],
    ['of the collection', { refs: [REF], collection: COLLECTION }, ['--collection-id', COLLECTION], undefined],
    [
      'of no collection',
      { refs: [REF] },
      ['--collection-id', COLLECTION],
      /was signed for no collection, not for org\.example/,
    ],
    [
      'of another collection',
      { refs: [REF], collection: 'org.example.Evil' },
      ['--collection-id', COLLECTION],
      /was signed for collection org\.example\.Evil, not for org\.example\.Web/,
    ],
    ['of some collection, when none is asked for', { refs: [REF], collection: COLLECTION }, [], undefined],
  ];
  for (const [what, commit, options, message] of BINDINGS)
    test(`${way}: a signed commit ${what} is ${message === undefined ? 'taken' : 'refused'}`, async (t) => {
      const { archive, signer, plain, pull, inspect } = await scene(t, way);
      const id = signCommit(archive, plain, signer, { ...commit, timestamp: 5n }, [REF]);
      const ended = await pull(REF, '--verify-ed25519', signer.publicKey, ...options);
      if (message === undefined) assert.equal(ended.status, 0, ended.stderr);
      else {
        refused(ended, message);
        assert.equal(inspect(id), '');
      }
      // By its id it was asked for as what it is; the collection counts all the same.
      const byId = await pull(id, '--verify-ed25519', signer.publicKey, ...options);
      assert.equal(byId.status, message !== undefined && options.length > 0 ? 1 : 0, byId.stderr);
    });
}

const noGpgv = spawnSync('gpgv', ['--version']).error === undefined ? false : 'gpgv is not installed';

for (const way of Object.keys(WAYS))
  test(`${way}: a commit that is signed with OpenPGP is bound as well, and must not be older`, {
    skip: noGpgv,
  }, async (t) => {
    const signed = recordedRepositories(t, 'signatures');
    const archive = `${signed}/archive`;
    const repository = ['--repo', `${signed}/composefs`];
    assert.equal(runCli([...repository, 'init', '--insecure']).status, 0);
    const words = await WAYS[way]!(t, archive);
    const pull = (ref: string, ...options: string[]): Promise<Ended> =>
      startCli([...repository, 'ostree', ...words, ref, ...options]).ended;
    const keys = ['--verify-gpg', `${signed}/keys/gpg.pub.asc`];
    const commit = readFileSync(`${archive}/refs/heads/sig/gpg`, 'latin1').trim();
    setRef(archive, 'sig/other', commit);
    refused(await pull('sig/other', ...keys), /was signed for ref sig\/gpg, not for sig\/other/);
    refused(await pull('sig/gpg', ...keys, '--collection-id', COLLECTION), /was signed for no collection/);
    // Somebody gave the name to a commit from the year 2200.
    const later = signCommit(archive, commit, new Signer(), { timestamp: 7_258_118_400n });
    setRef(archive, 'sig/gpg', later);
    assert.equal((await pull('sig/gpg')).status, 0);
    setRef(archive, 'sig/gpg', commit);
    refused(await pull('sig/gpg', ...keys), new RegExp(`commit ${commit} is of .*, older than .* sig/gpg`));
    const allowed = await pull('sig/gpg', ...keys, '--allow-downgrade');
    assert.equal(allowed.status, 0, allowed.stderr);
  });

test('the collection that a signed summary names is the one that commits must be bound to', async (t) => {
  const folder = scratch(t);
  const archive = join(folder, 'archive');
  const [plain] = writeArchive(archive, { [REF]: { file: 'content' } }) as [string];
  const signer = new Signer();
  const server = await archiveServer(t, [archive]);
  for (const [bound, named, status] of [
    [COLLECTION, COLLECTION, 0],
    [undefined, COLLECTION, 1],
    ['org.example.Evil', COLLECTION, 1],
    [COLLECTION, undefined, 0],
  ] as const) {
    const repository = ['--repo', join(folder, `${bound}-${named}`)];
    assert.equal(runCli([...repository, 'init', '--insecure']).status, 0);
    const commit = signCommit(archive, plain, signer, {
      refs: [REF],
      timestamp: 9n,
      ...(bound !== undefined && { collection: bound }),
    });
    const summary = encodeSummary({ [REF]: commit }, named);
    writeFileSync(join(archive, 'summary'), summary);
    writeFileSync(join(archive, 'summary.sig'), signer.signatures(summary));
    const ended = await startCli([
      ...repository,
      'ostree',
      'pull',
      server.url,
      REF,
      '--verify-ed25519',
      signer.publicKey,
    ]).ended;
    assert.equal(ended.status, status, ended.stderr);
    if (status === 1) assert.match(ended.stderr, /not for org\.example\.Web/);
  }
});
