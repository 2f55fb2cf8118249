// Signatures that come inside a static delta, from a server that has none beside the commit.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { deltaFolder, deltaIndexPath } from '../../../src/ostree/delta/names.js';
import { encodeVariant, variantOf } from '../../../src/ostree/gvariant/encode.js';
import { Variant } from '../../../src/ostree/gvariant/variant.js';
import { pullRemoteCommit, type PullRemoteOptions } from '../../../src/ostree/http/pull-remote.js';
import { OstreeRemote } from '../../../src/ostree/http/remote.js';
import { sha256, type Checksum } from '../../../src/ostree/object/checksum.js';
import { parseDictionary } from '../../../src/ostree/object/commit.js';
import type { PulledCommit } from '../../../src/ostree/pull/pull.js';
import { parseEd25519Keys, type SignatureKeys } from '../../../src/ostree/verify/signature-check.js';
import { publicKeysIn } from '../../../src/registry/policy/openpgp-keys.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { startCli } from '../../support/cli/start-cli.js';
import { withoutLeak } from '../../support/open-fds.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
import { emptyRepository } from '../../support/ostree/empty-repository.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';
import { Signer } from '../../support/ostree/signed-commits.js';
import { scratch } from '../../support/scratch.js';
import { filesBelow } from '../../support/walk.js';

const MAGIC = Buffer.from('OSTSGNDT', 'latin1').readBigUInt64LE();
const KINDS: Readonly<Record<string, number>> = { filez: 1, dirtree: 2, dirmeta: 3 };

/** Recorded: commits, some of them signed, and the keys. */
let signed: string;
let archive: string;
before((t) => {
  signed = recordedRepositories(t as TestContext, 'signatures');
  archive = join(signed, 'archive');
});

const commitOf = (ref: string): Checksum => readFileSync(join(archive, 'refs/heads', ref), 'latin1').trim();
const objectOf = (id: Checksum, kind: string): Buffer =>
  readFileSync(join(archive, 'objects', id.slice(0, 2), `${id.slice(2)}.${kind}`));
const ed25519 = (name: string): SignatureKeys => ({
  ed25519: parseEd25519Keys(readFileSync(join(signed, `keys/ed25519-${name}.pub`), 'latin1'), name),
});
const gpg = (): SignatureKeys => ({ gpg: publicKeysIn(readFileSync(join(signed, 'keys/gpg.pub.asc')), 'gpg') });

/** A delta from nothing that brings the commit alone, and names all other objects. @param detached metadata of it */
function deltaTo(commit: Checksum, detached?: Buffer, parts: readonly (readonly unknown[])[] = []): Buffer {
  const fallbacks = filesBelow(join(archive, 'objects')).flatMap((file) => {
    const [name = '', extension = ''] = basename(file).split('.');
    const kind = KINDS[extension];
    return kind === undefined ? [] : [[kind, Buffer.from(basename(dirname(file)) + name, 'hex'), 1n, 1n]];
  });
  const metadata =
    detached === undefined
      ? []
      : [
          [
            `${deltaFolder(undefined, commit)}/commitmeta`,
            variantOf('a{sv}', parseDictionary(Variant.from('a{sv}', detached))),
          ],
        ];
  const nothing = Buffer.alloc(0);
  return encodeVariant('(a{sv}tayayayaya(uayttay)a(yaytt))', [
    metadata,
    1n,
    nothing,
    Buffer.from(commit, 'hex'),
    objectOf(commit, 'commit'),
    nothing,
    parts,
    fallbacks,
  ] as Parameters<typeof encodeVariant>[1]);
}

/** In the value that ostree puts signed ones in. */
function wrapped(signer: Signer, superblock: Buffer, what = superblock): Buffer {
  const signatures = parseDictionary(Variant.from('a{sv}', signer.signatures(what)));
  return encodeVariant('(taya{sv})', [MAGIC, superblock, signatures]);
}

/** A server that has this delta, and no detached metadata of any commit. */
async function serverOf(t: TestContext, commit: Checksum, superblock: Buffer): ReturnType<typeof archiveServer> {
  const folder = scratch(t);
  const write = (path: string, bytes: Buffer): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  };
  write(`${deltaFolder(undefined, commit)}/superblock`, superblock);
  const deltas = variantOf('a{sv}', [[commit, variantOf('ay', Buffer.from(sha256(superblock), 'hex'))]]);
  write(deltaIndexPath(commit), encodeVariant('a{sv}', [['ostree.static-deltas', deltas]]));
  return await archiveServer(t, [folder, archive], ({ url = '' }, response) => {
    if (!url.endsWith('.commitmeta')) return false;
    response.writeHead(404).end();
    return true;
  });
}

async function pull(
  repository: Repository,
  url: string,
  ref: string,
  options: PullRemoteOptions,
): Promise<PulledCommit> {
  return await withoutLeak(async () => {
    await using remote = new OstreeRemote(url, { retryMs: 1, credentials: 'nobody' });
    return await pullRemoteCommit(repository, remote, ref, options);
  });
}

const signer = new Signer();
const own: SignatureKeys = { ed25519: parseEd25519Keys(signer.publicKey, 'own') };
const noGpgv = spawnSync('gpgv', ['--version']).error === undefined ? false : 'gpgv is not installed';

const CASES: readonly {
  what: string;
  ref: string;
  keys: () => SignatureKeys;
  superblock: (commit: Checksum) => Buffer;
  refused?: RegExp;
  skip?: string | false;
}[] = [
  {
    what: 'the signature of the commit, by its key',
    ref: 'sig/ed',
    keys: () => ed25519('one'),
    superblock: (commit) => deltaTo(commit, objectOf(commit, 'commitmeta')),
  },
  {
    what: 'two signatures, of which the second is by the key',
    ref: 'sig/two',
    keys: () => ed25519('two'),
    superblock: (commit) => deltaTo(commit, objectOf(commit, 'commitmeta')),
  },
  {
    what: 'the OpenPGP signature of the commit',
    ref: 'sig/gpg',
    keys: gpg,
    superblock: (commit) => deltaTo(commit, objectOf(commit, 'commitmeta')),
    skip: noGpgv,
  },
  {
    what: 'a signature of all of the delta',
    ref: 'sig/unsigned',
    keys: () => own,
    superblock: (commit) => wrapped(signer, deltaTo(commit)),
  },
  {
    what: 'an OpenPGP signature of the commit, and one of all of it by the other key',
    ref: 'sig/gpg',
    keys: () => ({ ...own, ...gpg() }),
    superblock: (commit) => wrapped(signer, deltaTo(commit, objectOf(commit, 'commitmeta'))),
    skip: noGpgv,
  },
  {
    what: 'the signature of the commit, by another key',
    ref: 'sig/ed',
    keys: () => ed25519('two'),
    superblock: (commit) => deltaTo(commit, objectOf(commit, 'commitmeta')),
    refused: /has Ed25519 signatures \(1\), and none is of a key that was given/,
  },
  {
    what: 'a signature that is wrong',
    ref: 'sig/wrong',
    keys: () => ed25519('one'),
    superblock: (commit) => deltaTo(commit, objectOf(commit, 'commitmeta')),
    refused: /and none is of a key/,
  },
  {
    what: 'the signature of another commit',
    ref: 'sig/unsigned',
    keys: () => ed25519('one'),
    superblock: (commit) => deltaTo(commit, objectOf(commitOf('sig/ed'), 'commitmeta')),
    refused: /and none is of a key/,
  },
  {
    what: 'no signature',
    ref: 'sig/ed',
    keys: () => ed25519('one'),
    superblock: (commit) => deltaTo(commit),
    refused: /has no Ed25519 signature/,
  },
  {
    what: 'a signature of all of another delta',
    ref: 'sig/unsigned',
    keys: () => own,
    superblock: (commit) => wrapped(signer, deltaTo(commit), deltaTo(commitOf('sig/ed'))),
    refused: /and none is of a key/,
  },
  {
    what: 'a signature of the kind of which there is no key',
    ref: 'sig/ed',
    keys: gpg,
    superblock: (commit) => deltaTo(commit, objectOf(commit, 'commitmeta')),
    refused: /has no OpenPGP signature/,
  },
];

for (const { what, ref, keys, superblock, refused, skip = false } of CASES)
  test(`a commit whose delta has ${what} is ${refused === undefined ? 'taken' : 'refused'}`, { skip }, async (t) => {
    const commit = commitOf(ref);
    const server = await serverOf(t, commit, superblock(commit));
    const repository = await emptyRepository(t);
    const objects = (): string[] => server.lines().filter((line) => /\.(?:filez|dirtree|dirmeta)/.test(line));
    if (refused !== undefined) {
      await assert.rejects(pull(repository, server.url, ref, { keys: keys() }), {
        code: 'OSTREE_SIGNATURE',
        message: refused,
      });
      assert.deepEqual([repository.listStreams(), objects()], [[], []]);
      // Nor when it is here already.
      await pull(repository, server.url, ref, {});
      await assert.rejects(pull(repository, server.url, ref, { keys: keys() }), { code: 'OSTREE_SIGNATURE' });
      return;
    }
    const pulled = await pull(repository, server.url, ref, { keys: keys() });
    assert.deepEqual([pulled.commit, pulled.ref, pulled.deltaParts], [commit, ref, 0]);
    const before = objects().length;
    // One that is here has to be signed as well, and is.
    assert.deepEqual((await pull(repository, server.url, ref, { keys: keys() })).files, 0);
    assert.equal(objects().length, before);
    // Where deltas are not looked at, their signatures are not, either.
    for (const options of [{ deltas: false }, { form: { fixXattrs: false, subpaths: ['/x'] } }])
      await assert.rejects(pull(repository, server.url, ref, { keys: keys(), ...options }), {
        code: 'OSTREE_SIGNATURE',
      });
  });

test('the commit is bound to its ref whoever signed the delta', async (t) => {
  const commit = commitOf('sig/ed');
  const server = await serverOf(t, commit, deltaTo(commit, objectOf(commit, 'commitmeta')));
  const repository = await emptyRepository(t);
  const collection = 'org.example.Other';
  await assert.rejects(pull(repository, server.url, 'sig/ed', { keys: ed25519('one'), collection }), {
    code: 'OSTREE_BINDING',
  });
  assert.deepEqual(repository.listStreams(), []);
});

test('when a part of the delta is not there, the commit that it signs comes as objects', async (t) => {
  const commit = commitOf('sig/ed');
  const part = [0, Buffer.alloc(32), 100n, 100n, Buffer.alloc(0)];
  const server = await serverOf(t, commit, deltaTo(commit, objectOf(commit, 'commitmeta'), [part]));
  const repository = await emptyRepository(t);
  const pulled = await pull(repository, server.url, 'sig/ed', { keys: ed25519('one') });
  assert.deepEqual([pulled.commit, pulled.deltaParts], [commit, undefined]);
});

test('the command takes such a commit', async (t) => {
  const commit = commitOf('sig/ed');
  const server = await serverOf(t, commit, deltaTo(commit, objectOf(commit, 'commitmeta')));
  const path = scratch(t);
  initRepository(path, { insecure: true });
  const keys = ['--verify-ed25519', join(signed, 'keys/ed25519-one.pub')];
  const words = ['--repo', path, 'ostree', 'pull', server.url, 'sig/ed', ...keys];
  const { status, stdout, stderr } = await startCli(words).ended;
  assert.equal(status, 0, stderr);
  assert.match(stdout, new RegExp(`^commit {2}${commit}$`, 'm'));
  const refused = await startCli([...words, '--no-delta']).ended;
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /has no Ed25519 signature/);
});
