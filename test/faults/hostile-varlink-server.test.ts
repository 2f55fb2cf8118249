// Varlink servers that lie, break off or say nothing, in the three forms that layers are served in. Every one of them
// must end in a typed error, with nothing published and nothing left open.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HostileBench } from '../support/faults/hostile-bench.js';
import type { Fd } from '../../src/fd/fd-passing.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { withoutLeak } from '../support/open-fds.js';
import { writeLayoutDocuments } from './documents.js';
import { namesIn, problemsOf } from '../support/faults/check-repository.js';
import {
  failure,
  FEATURES,
  OCI,
  raw,
  reply,
  REPOSITORY,
  scriptedVarlink,
  service,
  type Frame,
  type VarlinkAnswer,
  type VarlinkScript,
} from '../support/servers/scripted-varlink-server.js';
import {
  config,
  DIFF_ID,
  directoryStream,
  fileChunk,
  manifest,
  opened,
  pipeWith,
  sha256,
} from '../support/images/tiny-image.js';

const SILENCE = 150;

let documents: string;
const bench = new HostileBench('hostile-varlink', ({ folder }) => {
  documents = writeLayoutDocuments(join(folder, 'documents'));
});
const { kept, root } = bench;

const TRANSFER = 'io.cncf.composefs.OciTransfer';

/** The layers of one image, as containers-storage serves them. */
const layers: VarlinkScript = { ...service(OCI), [`${OCI}.GetInfo`]: () => reply(FEATURES) };
/** Repositories, as cfsctl serves them. */
const repositories: VarlinkScript = {
  ...service(OCI, REPOSITORY),
  [`${OCI}.GetInfo`]: () => reply(FEATURES),
  [`${REPOSITORY}.OpenRepository`]: () => reply({ handle: 1 }),
  [`${REPOSITORY}.CloseRepository`]: () => ({ frames: [{ reply: {} }] }),
  [`${OCI}.Inspect`]: () => reply({ manifest: manifest().toString(), config: config().toString(), referrers: [] }),
};
/** The same with layers under the newer name. */
const renamed: VarlinkScript = {
  ...repositories,
  ...service(TRANSFER, OCI, REPOSITORY),
  [`${OCI}.GetInfo`]: () => 'gone',
  [`${TRANSFER}.GetInfo`]: () => reply(FEATURES),
};

const nothing = (): Fd => opened('/dev/null');
const layer = (fds: () => Fd[], parameters: object = { dir_count: 1 }): VarlinkScript => ({
  ...layers,
  [`${OCI}.GetLayer`]: () => reply(parameters, fds()),
});
const frames = (make: () => Iterable<Frame>): VarlinkScript => ({
  ...layers,
  [`${OCI}.GetLayer`]: () => ({ frames: make() }),
});
const stream = (bytes: Buffer): VarlinkScript => layer(() => [pipeWith(bytes), root(), nothing()]);
const answering = (method: string, answer: () => VarlinkAnswer): VarlinkScript => ({
  ...stream(directoryStream()),
  [method]: answer,
});

async function pull(script: VarlinkScript, repository: Repository, silenceLimit = SILENCE): Promise<void> {
  await using server = await scriptedVarlink(bench.folder, script);
  const hasRepositories = `${REPOSITORY}.OpenRepository` in script;
  await using source = await openSocketImage(server.path, hasRepositories ? 'image' : documents, {
    silenceLimit,
    ...(hasRepositories && { repository: '/there' }),
  });
  await pullImage(repository, source, { name: 'tag' });
}

const fails = (script: VarlinkScript, code: string | RegExp, place?: Record<string, unknown>): Promise<void> =>
  bench.fails((repository) => pull(script, repository), code, place);

const honest: Record<string, () => VarlinkScript> = {
  'the layers of one image': () => stream(directoryStream()),
  'the layers of one image, without a way to say no to more': () => ({
    ...layers,
    [`${OCI}.GetLayer`]: () => ({
      frames: [
        {
          reply: { parameters: { dir_count: 1 }, continues: false },
          fds: [pipeWith(directoryStream()), root(), nothing()],
        },
      ],
    }),
  }),
  'a layer as a file': () => layer(() => [fileWith(directoryStream()), root(), nothing()]),
  'folders among fillers, in several replies': () =>
    frames(() => [
      {
        reply: { parameters: { dir_count: 3 }, continues: true },
        fds: [pipeWith(directoryStream(fileChunk('usr/a', undefined, 1))), nothing()],
      },
      { reply: { parameters: { dir_count: 3 }, continues: true }, fds: [root()] },
      { reply: { parameters: { dir_count: 3 } }, fds: [pipeWith(Buffer.alloc(0)), nothing(), nothing()] },
    ]),
  'a repository': () => ({ ...repositories, [`${OCI}.GetLayer`]: repositoryLayer }),
  'a repository, with layers under the newer name': () => ({ ...renamed, [`${TRANSFER}.GetLayer`]: repositoryLayer }),
};

function repositoryLayer(parameters: Record<string, unknown>): VarlinkAnswer {
  assert.equal(parameters['handle'], 1);
  const { diff_id: diffId, consumer_has_cap_dac_override: override } = parameters['params'] as Record<string, unknown>;
  assert.equal(diffId, DIFF_ID);
  assert.equal(typeof override, 'boolean');
  return reply({ dir_count: 1 }, [pipeWith(directoryStream()), root(), nothing()]);
}

function fileWith(bytes: Buffer): Fd {
  const path = join(bench.folder, 'stream');
  writeFileSync(path, bytes);
  return opened(path);
}

for (const [what, script] of Object.entries(honest))
  test(`the truth: ${what}`, async () => {
    const path = join(bench.folder, 'truth');
    initRepository(path, { insecure: true });
    await withoutLeak(async () => {
      using repository = await Repository.open(path, { write: true });
      await pull(script(), repository);
    });
    assert.deepEqual(await problemsOf(path), []);
    assert.ok(namesIn(path).includes('streams/refs/oci/tag'));
    rmSync(path, { recursive: true });
  });

const LAYER = { layer: DIFF_ID };
const other = sha256(Buffer.from('something else'));

/** Replies that are never the last, each with a descriptor. */
function* endless(): Generator<Frame> {
  for (;;) yield { reply: { parameters: { dir_count: 1 }, continues: true }, fds: [nothing()] };
}

const cases: Record<
  string,
  [what: string, script: () => VarlinkScript, code: string | RegExp, place?: Record<string, unknown>][]
> = {
  answers: [
    ['nothing at all', () => answering('org.varlink.service.GetInfo', () => 'silence'), 'RPC_TIMEOUT'],
    ['nothing about itself', () => answering(`${OCI}.GetInfo`, () => 'silence'), 'RPC_TIMEOUT'],
    ['nothing about a layer', () => answering(`${OCI}.GetLayer`, () => 'silence'), 'RPC_TIMEOUT', LAYER],
    [
      'half a reply about a layer',
      () => answering(`${OCI}.GetLayer`, () => raw('{"parameters":')),
      'RPC_TIMEOUT',
      LAYER,
    ],
    ['hanging up instead of a layer', () => answering(`${OCI}.GetLayer`, () => 'gone'), 'PEER_GONE', LAYER],
    ['no JSON about a layer', () => answering(`${OCI}.GetLayer`, () => raw('hello\0')), 'FRAMING_ERROR', LAYER],
    [
      'an error without descriptors',
      () => answering(`${OCI}.GetLayer`, () => failure(`${OCI}.NoSuchLayerIndex`, { layer_index: 0 })),
      'VARLINK_ERROR',
      LAYER,
    ],
    ['other interfaces', () => ({ ...layers, ...service('org.example.Other') }), 'NO_LAYERS'],
    [
      'other features',
      () => answering(`${OCI}.GetInfo`, () => reply({ features: ['splitdirfdstream-v9'] })),
      'NO_LAYERS',
    ],
    [
      'features that are no list',
      () => answering(`${OCI}.GetInfo`, () => reply({ features: 'splitdirfdstream-v0' })),
      'INVALID_RESULT',
    ],
    [
      'two answers to one call',
      () =>
        answering(`${OCI}.GetInfo`, () => ({
          frames: [
            {
              reply: `${JSON.stringify({ parameters: FEATURES })}\0${JSON.stringify({ parameters: { dir_count: 0 } })}\0`,
            },
          ],
        })),
      'INVALID_MESSAGE',
    ],
    [
      'several answers where one was asked for',
      () => answering(`${OCI}.GetInfo`, () => ({ frames: [{ reply: { parameters: FEATURES, continues: true } }] })),
      'INVALID_MESSAGE',
    ],
  ],
  descriptors: [
    ['none', () => layer(() => []), 'INVALID_RESULT', LAYER],
    ['only a stream', () => layer(() => [pipeWith(directoryStream())]), 'INVALID_RESULT', LAYER],
    ['no lifetime', () => layer(() => [pipeWith(directoryStream()), root()]), 'INVALID_RESULT', LAYER],
    [
      'fewer folders than announced',
      () => layer(() => [pipeWith(directoryStream()), root(), nothing()], { dir_count: 9 }),
      'INVALID_RESULT',
      LAYER,
    ],
    [
      '2^53 folders',
      () => layer(() => [pipeWith(directoryStream()), root(), nothing()], { dir_count: 2 ** 53 }),
      'INVALID_RESULT',
      LAYER,
    ],
    [
      '-1 folders',
      () => layer(() => [pipeWith(directoryStream()), root(), nothing()], { dir_count: -1 }),
      'INVALID_RESULT',
      LAYER,
    ],
    [
      'half a folder',
      () => layer(() => [pipeWith(directoryStream()), root(), nothing()], { dir_count: 0.5 }),
      'INVALID_RESULT',
      LAYER,
    ],
    [
      'another number of folders each time',
      () =>
        frames(() =>
          [1, 2].map((count) => ({ reply: { parameters: { dir_count: count }, continues: true }, fds: [root()] })),
        ),
      'INVALID_RESULT',
      LAYER,
    ],
    [
      'a reply without any',
      () => frames(() => [{ reply: { parameters: { dir_count: 1 }, continues: true } }]),
      'INVALID_RESULT',
      LAYER,
    ],
    ['replies for ever', () => frames(endless), 'TOO_MANY_FDS', LAYER],
    [
      'more than one message can carry',
      () =>
        frames(() => [
          { reply: '{"parameters"', fds: Array.from({ length: 200 }, nothing) },
          { reply: ':{"dir_count":1}}\0', fds: Array.from({ length: 54 }, nothing) },
        ]),
      'TOO_MANY_FDS',
      LAYER,
    ],
    ['a device as stream', () => layer(() => [opened('/dev/zero'), root(), nothing()]), 'STREAM_SOURCE', LAYER],
    [
      'a filler as folder',
      () => layer(() => [pipeWith(directoryStream()), nothing(), nothing()]),
      'ENOTDIR',
      { ...LAYER, entry: 'usr/a' },
    ],
  ],
  layers: [
    [
      'a folder that did not come',
      () => stream(directoryStream(fileChunk('usr/a', undefined, 1))),
      'SPLITDIRFDSTREAM',
      LAYER,
    ],
    ['a way out of the folder', () => stream(directoryStream(fileChunk('../tree/usr/a'))), 'SPLITDIRFDSTREAM', LAYER],
    ['a file of another size', () => stream(directoryStream(fileChunk('usr/a', 99))), /./, LAYER],
    [
      'another tar',
      () => stream(Buffer.concat([directoryStream(), Buffer.from([0, 1, 0, 0, 0, 0])])),
      'DIGEST_MISMATCH',
      LAYER,
    ],
    ['a tar that ends early', () => stream(directoryStream().subarray(0, 512 + 5)), /./, LAYER],
    ['nothing', () => stream(Buffer.alloc(0)), /./, LAYER],
    [
      'a stream that stops',
      () => layer(() => [pipeWith(directoryStream().subarray(0, 700), kept), root(), nothing()]),
      'PEER_SILENT',
      LAYER,
    ],
    [
      'a stream that never ends',
      () => layer(() => [pipeWith(directoryStream(), kept), root(), nothing()]),
      'PEER_SILENT',
      LAYER,
    ],
  ],
  repositories: [
    [
      'one that cannot be opened',
      () => ({
        ...repositories,
        [`${REPOSITORY}.OpenRepository`]: () => failure(`${REPOSITORY}.RepoNotFound`, { message: 'no' }),
      }),
      'VARLINK_ERROR',
    ],
    [
      'a handle that is text',
      () => ({ ...repositories, [`${REPOSITORY}.OpenRepository`]: () => reply({ handle: '1' }) }),
      'INVALID_RESULT',
    ],
    [
      'no manifest',
      () => ({ ...repositories, [`${OCI}.Inspect`]: () => reply({ config: '', referrers: [] }) }),
      'INVALID_RESULT',
    ],
    [
      'a config with another digest',
      () => ({
        ...repositories,
        [`${OCI}.Inspect`]: () =>
          reply({ manifest: manifest().toString(), config: `${config().toString()} `, referrers: [] }),
      }),
      'DIGEST_MISMATCH',
    ],
    [
      'a layer that is not there',
      () => ({ ...repositories, [`${OCI}.GetLayer`]: () => failure(`${OCI}.NoSuchLayer`, { diff_id: other }) }),
      'VARLINK_ERROR',
      LAYER,
    ],
    ['layers under the newer name only', () => ({ ...renamed, ...service(TRANSFER, REPOSITORY) }), 'NO_DOCUMENTS'],
  ],
};

for (const [group, list] of Object.entries(cases))
  describe(`${group} that are wrong`, () => {
    for (const [what, script, code, place] of list) test(what, () => fails(script(), code, place));
  });
