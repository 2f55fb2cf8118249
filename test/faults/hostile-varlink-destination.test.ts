// Servers that are to store an image and misbehave: the copy ends in a typed error, and nothing stays open.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { HostileBench } from '../support/faults/hostile-bench.js';
import { BridgeError } from '../../src/errors.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { copyTo } from '../../src/oci/push/remote.js';
import { RemoteRepository } from '../../src/oci/remote/remote-repository.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { Repository } from '../../src/repository/repository.js';
import { withoutLeak } from '../support/open-fds.js';
import { writeLayoutDocuments } from './documents.js';
import {
  failure,
  FEATURES,
  OCI,
  reply,
  REPOSITORY,
  scriptedVarlink,
  service,
  type VarlinkScript,
} from '../support/servers/scripted-varlink-server.js';
import { config, DIFF_ID, directoryStream, manifest, opened, pipeWith, sha256 } from '../support/images/tiny-image.js';

const SILENCE = 150;

const bench = new HostileBench('hostile-destination', async ({ folder, repository: path, root }) => {
  using repository = await Repository.open(path, { write: true });
  await using server = await scriptedVarlink(folder, {
    ...about(OCI),
    [`${OCI}.GetLayer`]: () => reply({ dir_count: 1 }, [pipeWith(directoryStream()), root(), opened('/dev/null')]),
  });
  await using source = await openSocketImage(server.path, writeLayoutDocuments(join(folder, 'documents')));
  await pullImage(repository, source, { name: 'image' });
});

function about(...interfaces: string[]): VarlinkScript {
  return { ...service(...interfaces), [`${OCI}.GetInfo`]: () => reply(FEATURES) };
}

const stored = {
  layer_verity: 'a'.repeat(128),
  already_present: false,
  objects_reflinked: 0,
  objects_hardlinked: 0,
  objects_copied: 1,
  objects_already_present: 0,
};
const finished = {
  manifest_digest: sha256(manifest()),
  manifest_verity: 'm',
  config_digest: sha256(config()),
  config_verity: 'c',
};
const result = {
  manifestDigest: finished.manifest_digest,
  manifestVerity: 'm',
  configDigest: finished.config_digest,
  configVerity: 'c',
};

const obliging: VarlinkScript = {
  ...about(OCI, REPOSITORY),
  [`${REPOSITORY}.OpenRepository`]: () => reply({ handle: 7 }),
  [`${REPOSITORY}.CloseRepository`]: () => ({ frames: [{ reply: {} }] }),
  [`${OCI}.HasLayer`]: () => reply({ present: false, layer_verity: null }),
  [`${OCI}.PutLayer`]: () => reply(stored),
  [`${OCI}.FinalizeImage`]: () => reply(finished),
};

async function push(script: VarlinkScript): Promise<unknown> {
  return await withoutLeak(async () => {
    await using server = await scriptedVarlink(bench.folder, script);
    using repository = await Repository.open(bench.repository);
    await using remote = await RemoteRepository.connect(server.path, '/there', { silenceLimit: SILENCE });
    return await copyTo(repository, 'image', remote, { name: 'image' });
  });
}

test('what is asked for, in order', async () => {
  const calls: [string, object][] = [];
  const noting: VarlinkScript = Object.fromEntries(
    Object.entries(obliging).map(([name, answer]) => [
      name,
      (parameters: Record<string, unknown>) => (
        calls.push([name.slice(name.lastIndexOf('.') + 1), parameters]), answer(parameters)
      ),
    ]),
  );
  assert.deepEqual(await push(noting), result);
  assert.deepEqual(calls.slice(3), [
    ['HasLayer', { handle: 7, diff_id: DIFF_ID }],
    ['PutLayer', { handle: 7, diff_id: DIFF_ID, zerocopy: false }],
    [
      'FinalizeImage',
      {
        handle: 7,
        manifest_json: manifest().toString(),
        config_json: config().toString(),
        layers: [{ diff_id: DIFF_ID, layer_verity: stored.layer_verity }],
        name: 'image',
      },
    ],
    ['CloseRepository', { handle: 7 }],
  ]);
});

test('a layer that is there already is not sent', async () => {
  const script: VarlinkScript = {
    ...obliging,
    [`${OCI}.HasLayer`]: () => reply({ present: true, layer_verity: 'b' }),
    [`${OCI}.PutLayer`]: () => assert.fail('it was sent'),
  };
  assert.deepEqual(await push(script), result);
});

const cases: [what: string, change: VarlinkScript, code: string][] = [
  [
    'refuses the layer without reading it',
    { [`${OCI}.PutLayer`]: () => failure(`${OCI}.InternalError`, { message: 'no' }) },
    'VARLINK_ERROR',
  ],
  [
    'finds another layer',
    { [`${OCI}.PutLayer`]: () => failure(`${OCI}.DiffIdMismatch`, { expected: DIFF_ID, actual: 'sha256:0' }) },
    'VARLINK_ERROR',
  ],
  ['says nothing about the layer', { [`${OCI}.PutLayer`]: () => 'silence' }, 'RPC_TIMEOUT'],
  ['goes away instead', { [`${OCI}.PutLayer`]: () => 'gone' }, 'PEER_GONE'],
  [
    'has stored something without a name',
    { [`${OCI}.PutLayer`]: () => reply({ ...stored, layer_verity: 4 }) },
    'INVALID_RESULT',
  ],
  ['says nothing about the image', { [`${OCI}.FinalizeImage`]: () => 'silence' }, 'RPC_TIMEOUT'],
  [
    'has stored another manifest',
    { [`${OCI}.FinalizeImage`]: () => reply({ ...finished, manifest_digest: sha256(Buffer.alloc(1)) }) },
    'DIGEST_MISMATCH',
  ],
  ['says nothing about what it has', { [`${OCI}.HasLayer`]: () => 'silence' }, 'RPC_TIMEOUT'],
  ['has no repositories', about(OCI), 'WHICH_REPOSITORY'],
];

for (const [what, change, code] of cases)
  test(`a server that ${what}`, async () => {
    const script = what === 'has no repositories' ? change : { ...obliging, ...change };
    await assert.rejects(push(script), (error) => {
      assert.ok(error instanceof BridgeError, String(error));
      assert.equal(error.code, code, error.message);
      return true;
    });
  });
