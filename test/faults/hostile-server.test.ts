// Servers that lie, break off or say nothing. Every one of them must end in a typed error, with nothing published and
// nothing left open.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HostileBench } from '../support/faults/hostile-bench.js';
import { socketpair, type Fd } from '../../src/fd/fd-passing.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../src/rpc/contracts/features.js';
import { FEATURE_EXACT } from '../../src/rpc/contracts/splitfdstream.js';
import { withoutLeak } from '../support/open-fds.js';
import { namesIn, problemsOf } from '../support/faults/check-repository.js';
import { scripted, type Answer, type Script } from '../support/servers/scripted-server.js';
import {
  bytesChunk,
  config,
  CONTENT,
  DIFF_ID,
  directoryStream,
  fileChunk,
  fileStream,
  HEAD,
  imageAnswer,
  manifest,
  opened,
  pipeWith,
  prefix,
  sha256,
  type GetImageAnswer,
} from '../support/images/tiny-image.js';

const SILENCE = 150;

const bench = new HostileBench('hostile', ({ tree }) => {
  symlinkSync('secret', join(tree, 'link'));
  symlinkSync('usr', join(tree, 'folder-link'));
  symlinkSync(tree, join(tree, 'absolute-link'));
  spawnSync('mkfifo', [join(tree, 'fifo')]);
  writeFileSync(join(tree, 'short'), CONTENT.subarray(1));
  writeFileSync(join(tree, 'long'), Buffer.concat([CONTENT, CONTENT]));
  writeFileSync(join(tree, 'other'), Buffer.alloc(100, 'other '));
  mkdirSync(join(tree, 'forbidden'));
});
const { kept, root } = bench;
const inTree = (name: string): string => join(bench.tree, name);

const directories: Script = { GetInfo: () => ({ result: { features: [FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM] } }) };
const exact: Script = { GetInfo: () => ({ result: { features: [FEATURE_EXACT] } }) };
const honestImage: Script = { GetImage: () => ({ result: imageAnswer() }) };

const image = (change: Partial<GetImageAnswer>): Script => ({
  ...directories,
  GetImage: () => ({ result: imageAnswer(change) }),
});

/** A layer that comes by directory; `fds` in the order stream, directories, lease. */
const layer = (fds: () => Fd[], result: object = {}, count?: unknown): Script => ({
  ...directories,
  ...honestImage,
  GetSplitFDStream: () => ({
    result: { format: FEATURE_SPLITDIRFDSTREAM, dirCount: 1, exact: true, ...result },
    fds: fds(),
    count,
  }),
});
const lease = (): Fd => pipeWith(Buffer.alloc(0));
const stream = (bytes: Buffer): Script => layer(() => [pipeWith(bytes), root(), lease()]);
const named = (name: string | Buffer, size?: number | bigint): Script => stream(directoryStream(fileChunk(name, size)));

/** A layer with a descriptor per file. */
const perFile = (fds: () => Fd[], result: object = {}): Script => ({
  ...exact,
  ...honestImage,
  GetSplitFDStream: () => ({ result: { streamSize: 10, exact: true, ...result }, fds: fds() }),
});
const content = (file: () => Fd): Script => perFile(() => [pipeWith(fileStream()), file()]);
const fileBytes = (bytes: Buffer): Script => perFile(() => [pipeWith(bytes), opened(inTree('usr/a'))]);
const raw = (method: string, text: string | Buffer): Script => ({
  ...directories,
  ...honestImage,
  [method]: () => ({ raw: text }),
});
const result = (method: string, value: object): Script => ({
  ...directories,
  ...honestImage,
  [method]: () => ({ result: value }),
});
const never = (method: string, answer: Answer): Script => ({ ...directories, ...honestImage, [method]: () => answer });

async function pull(script: Script, repository: Repository, silenceLimit = SILENCE): Promise<void> {
  await using server = await scripted(bench.folder, script);
  await using source = await openSplitfdstreamImage(server.path, 'image', { silenceLimit });
  await pullImage(repository, source, { name: 'tag' });
}

/** Pulls, and expects it to fail in time with this code, leaving nothing. */
const fails = (
  script: Script,
  code: string | RegExp,
  place?: Record<string, unknown>,
  silenceLimit?: number,
): Promise<void> => bench.fails((repository) => pull(script, repository, silenceLimit), code, place);

test('the same server, telling the truth', async () => {
  const path = join(bench.folder, 'truth');
  for (const script of [stream(directoryStream()), content(() => opened(inTree('usr/a')))]) {
    initRepository(path, { insecure: true });
    await withoutLeak(async () => {
      using repository = await Repository.open(path, { write: true });
      await pull(script, repository);
    });
    assert.deepEqual(await problemsOf(path), []);
    assert.ok(namesIn(path).includes('streams/refs/oci/tag'));
    rmSync(path, { recursive: true });
  }
});

const LAYER = { layer: DIFF_ID };
const other = sha256(Buffer.from('something else'));
const nested = '['.repeat(200);

const cases: Record<
  string,
  [what: string, script: () => Script, code: string | RegExp, place?: Record<string, unknown>][]
> = {
  messages: [
    ['not JSON', () => raw('GetImage', 'hello'), 'FRAMING_ERROR'],
    ['an array', () => raw('GetImage', '[]'), 'FRAMING_ERROR'],
    ['broken JSON', () => raw('GetImage', '{"jsonrpc":"2.0",,}'), 'FRAMING_ERROR'],
    [
      'invalid UTF-8',
      () => raw('GetImage', Buffer.from('{"jsonrpc":"2.0","id":2,"result":"\xff"}', 'latin1')),
      'FRAMING_ERROR',
    ],
    ['endless nesting', () => raw('GetImage', `{"a":${nested}`), 'FRAMING_ERROR'],
    ['no version', () => raw('GetImage', '{"id":2,"result":{}}'), 'INVALID_MESSAGE'],
    ['an answer to nothing', () => raw('GetImage', '{"jsonrpc":"2.0","id":99,"result":{}}'), 'INVALID_MESSAGE'],
    ['a result of another shape', () => result('GetImage', { manifest: 7 }), 'INVALID_RESULT'],
    ['features that are no list', () => result('GetInfo', { features: 'all' }), 'INVALID_RESULT'],
    [
      'an error',
      () => raw('GetImage', '{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"no"}}'),
      'REMOTE_ERROR',
    ],
    ['nothing at all', () => never('GetInfo', 'silence'), 'RPC_TIMEOUT'],
    ['nothing about the image', () => never('GetImage', 'silence'), 'RPC_TIMEOUT'],
    ['nothing about a layer', () => never('GetSplitFDStream', 'silence'), 'RPC_TIMEOUT'],
    ['half a message, then nothing', () => raw('GetImage', '{"jsonrpc"'), 'RPC_TIMEOUT'],
    ['hanging up', () => never('GetImage', 'gone'), 'PEER_GONE'],
    ['hanging up before a layer', () => never('GetSplitFDStream', 'gone'), 'PEER_GONE'],
  ],
  'counts of descriptors': [
    ['none', () => layer(() => []), 'INVALID_RESULT'],
    ['no lease and no directory', () => layer(() => [pipeWith(directoryStream())]), 'INVALID_RESULT'],
    ['one too many', () => layer(() => [pipeWith(directoryStream()), root(), root(), lease()]), 'INVALID_RESULT'],
    [
      'dirCount too large',
      () => layer(() => [pipeWith(directoryStream()), root(), lease()], { dirCount: 2 ** 31 }),
      'INVALID_RESULT',
    ],
    [
      'negative dirCount',
      () => layer(() => [pipeWith(directoryStream()), root(), lease()], { dirCount: -1 }),
      'INVALID_RESULT',
    ],
    ['fewer than announced', () => layer(() => [pipeWith(directoryStream()), root(), lease()], {}, 4), 'RPC_TIMEOUT'],
    [
      'more than announced',
      () => layer(() => [pipeWith(directoryStream()), root(), lease()], {}, 2),
      /^INVALID_RESULT$/,
    ],
    ['not announced', () => layer(() => [pipeWith(directoryStream()), root(), lease()], {}, 0), /^INVALID_RESULT$/],
    ['announced as text', () => layer(() => [], {}, '3'), 'INVALID_FD_COUNT'],
    ['announced below zero', () => layer(() => [], {}, -1), 'INVALID_FD_COUNT'],
    ['announced beyond reason', () => layer(() => [], {}, 1e9), 'INVALID_FD_COUNT'],
    [
      'descriptors with an error',
      () => ({
        ...directories,
        ...honestImage,
        GetSplitFDStream: () => ({
          raw: '{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"m"},"fds":1}',
          fds: [root()],
        }),
      }),
      'REMOTE_ERROR',
    ],
    [
      'a directory where one per file was asked for',
      () => ({ ...layer(() => [pipeWith(directoryStream()), root(), lease()]), ...exact }),
      'INVALID_RESULT',
    ],
    [
      'a stream of files without its size',
      () => perFile(() => [pipeWith(fileStream())], { streamSize: undefined }),
      'INVALID_RESULT',
    ],
  ],
  'kinds of descriptors': [
    ['a directory as stream', () => layer(() => [root(), root(), lease()]), 'STREAM_SOURCE', LAYER],
    ['a device as stream', () => layer(() => [opened('/dev/zero'), root(), lease()]), 'STREAM_SOURCE', LAYER],
    [
      'a terminal-like device as stream, per file',
      () => perFile(() => [opened('/dev/null'), opened(inTree('usr/a'))]),
      'STREAM_SOURCE',
      LAYER,
    ],
    [
      'a path descriptor as stream',
      () => layer(() => [opened(inTree('secret'), 0o10000000), root(), lease()]),
      'EBADF',
      LAYER,
    ],
    [
      'a stream that can only be written',
      () => layer(() => [opened(inTree('secret'), 'a'), root(), lease()]),
      'EBADF',
      LAYER,
    ],
    [
      'a datagram socket as stream',
      () => layer(() => [seqpacket(), root(), lease()]),
      /^(STREAM_SOURCE|DIGEST_MISMATCH|E[A-Z]+)$/,
    ],
    [
      'a file as directory',
      () => layer(() => [pipeWith(directoryStream()), opened(inTree('secret')), lease()]),
      'ENOTDIR',
      { ...LAYER, entry: 'usr/a' },
    ],
    [
      'a pipe as directory',
      () => layer(() => [pipeWith(directoryStream()), lease(), lease()]),
      'ENOTDIR',
      { ...LAYER, entry: 'usr/a' },
    ],
    ['a directory as content', () => content(root), 'CONTENT_TYPE', LAYER],
    ['a pipe as content', () => content(() => pipeWith(CONTENT)), 'CONTENT_TYPE', LAYER],
    ['a device as content', () => content(() => opened('/dev/zero')), 'CONTENT_TYPE', LAYER],
    ['a socket as content', () => content(() => aSocket()), 'CONTENT_TYPE', LAYER],
    ['a path descriptor as content', () => content(() => opened(inTree('usr/a'), 0o10000000)), 'NOT_READABLE', LAYER],
    ['content that can only be written', () => content(() => opened(inTree('usr/a'), 'a')), 'NOT_READABLE', LAYER],
    ['shorter content', () => content(() => opened(inTree('short'))), /./, LAYER],
    ['longer content', () => content(() => opened(inTree('long'))), /./, LAYER],
    ['other content', () => content(() => opened(inTree('other'))), 'DIGEST_MISMATCH', LAYER],
    ['empty content', () => content(() => opened('/proc/self/oom_adj')), /./, LAYER],
    ['missing content', () => perFile(() => [pipeWith(fileStream())]), 'SPLITFDSTREAM', LAYER],
  ],
  names: [
    ['..', () => named('..'), 'SPLITDIRFDSTREAM', LAYER],
    ['a way out', () => named('../tree/usr/a'), 'SPLITDIRFDSTREAM', LAYER],
    ['a detour', () => named('usr/../usr/a'), 'SPLITDIRFDSTREAM', LAYER],
    ['absolute', () => named(inTree('usr/a')), 'SPLITDIRFDSTREAM', LAYER],
    ['empty', () => named(''), 'SPLITDIRFDSTREAM', LAYER],
    ['NUL', () => named('usr/a\0b'), 'SPLITDIRFDSTREAM', LAYER],
    ['a symlink', () => named('link'), 'ELOOP', { ...LAYER, entry: 'usr/a' }],
    ['through a symlink', () => named('folder-link/a'), 'ELOOP', LAYER],
    ['through an absolute symlink', () => named('absolute-link/usr/a'), 'ELOOP', LAYER],
    ['missing', () => named('usr/b'), 'ENOENT', { ...LAYER, entry: 'usr/a' }],
    ['a directory', () => named('forbidden'), 'NOT_A_FILE', LAYER],
    ['a fifo', () => named('fifo'), 'NOT_A_FILE', LAYER],
    ['a file below a file', () => named('secret/a'), 'ENOTDIR', LAYER],
    ['shorter', () => named('short'), 'SIZE_MISMATCH', { ...LAYER, entry: 'usr/a' }],
    ['longer', () => named('long'), 'SIZE_MISMATCH', LAYER],
    ['other', () => named('other'), 'DIGEST_MISMATCH', LAYER],
    ['a name of 5000 bytes', () => named('n'.repeat(5000)), 'SPLITDIRFDSTREAM', LAYER],
    ['parts of 300 bytes', () => named('n'.repeat(300)), 'ENAMETOOLONG', LAYER],
  ],
  'numbers in streams': [
    ['content of 2^64-1 bytes', () => named('usr/a', 2n ** 64n - 1n), 'SPLITDIRFDSTREAM', LAYER],
    ['content of another size than the header', () => named('usr/a', 99), /./, LAYER],
    [
      'a directory that did not come',
      () => stream(directoryStream(fileChunk('usr/a', 100, 1))),
      'SPLITDIRFDSTREAM',
      LAYER,
    ],
    [
      'directory 2^32-1',
      () => stream(directoryStream(fileChunk('usr/a', 100, 2 ** 32 - 1))),
      'SPLITDIRFDSTREAM',
      LAYER,
    ],
    [
      'a name of 2^32-1 bytes',
      () => stream(directoryStream(fileChunk('usr/a', 100, 0, 2 ** 32 - 1))),
      'SPLITDIRFDSTREAM',
      LAYER,
    ],
    ['a chunk of 2^32-1 bytes', () => stream(bytesChunk(HEAD, 2 ** 32 - 1)), 'SPLITDIRFDSTREAM', LAYER],
    ['an unknown chunk', () => stream(bytesChunk(HEAD, HEAD.length, 3)), 'SPLITDIRFDSTREAM', LAYER],
    ['the file left out', () => stream(directoryStream(Buffer.alloc(0))), /./, LAYER],
    [
      'the file twice',
      () => stream(directoryStream(Buffer.concat([fileChunk('usr/a'), fileChunk('usr/a')]))),
      /./,
      LAYER,
    ],
    ['nothing', () => stream(Buffer.alloc(0)), /./, LAYER],
    ['file -2^63', () => fileBytes(prefix(-(2n ** 63n))), 'SPLITFDSTREAM', LAYER],
    ['file 2^63-1', () => fileBytes(prefix(2n ** 63n - 1n)), 'SPLITFDSTREAM', LAYER],
    ['file 1 of 1', () => fileBytes(fileStream(prefix(1n))), 'SPLITFDSTREAM', LAYER],
    ['a file twice', () => fileBytes(fileStream(Buffer.concat([prefix(0n), prefix(0n)]))), /./, LAYER],
    ['a long inline chunk that ends', () => fileBytes(prefix(-(2n ** 40n), HEAD)), 'SPLITFDSTREAM', LAYER],
  ],
  'streams that stop': [
    [
      'a pipe that says nothing',
      () => layer(() => [pipeWith(Buffer.alloc(0), kept), root(), lease()]),
      'PEER_SILENT',
      LAYER,
    ],
    [
      'a pipe that stops halfway',
      () => layer(() => [pipeWith(directoryStream().subarray(0, 700), kept), root(), lease()]),
      'PEER_SILENT',
      LAYER,
    ],
    [
      'a pipe that never ends',
      () => layer(() => [pipeWith(directoryStream(), kept), root(), lease()]),
      'PEER_SILENT',
      LAYER,
    ],
    [
      'the same, per file',
      () => perFile(() => [pipeWith(fileStream(), kept), opened(inTree('usr/a'))]),
      'PEER_SILENT',
      LAYER,
    ],
    [
      'the same, as containers do it',
      () => ({
        ...perFile(() => [pipeWith(fileStream(), kept), opened(inTree('usr/a'))], { exact: undefined }),
        GetInfo: undefined as never,
      }),
      'PEER_SILENT',
      LAYER,
    ],
  ],
  images: [
    ['a config with another digest', () => image({ config: `${config().toString()} ` }), 'DIGEST_MISMATCH'],
    ['a config that is no config', () => image(withConfig(Buffer.from('[1]'))), 'CONFIG_INVALID'],
    ['a config that is no JSON', () => image(withConfig(Buffer.from('{'))), 'CONFIG_INVALID'],
    ['no manifest', () => image({ manifest: '' }), 'MANIFEST_INVALID'],
    ['an index as manifest', () => image({ manifest: '{"schemaVersion":2,"manifests":[]}' }), 'MANIFEST_INVALID'],
    [
      'an artifact',
      () => image({ manifest: manifest().toString().replace('image.config.v1', 'other.config.v1') }),
      'NOT_AN_IMAGE',
    ],
    [
      'layers the config does not have',
      () => image({ layers: [...imageAnswer().layers, { id: 'x', parentId: 'top', diffId: other }] }),
      'LAYER_CHAIN',
    ],
    ['no layers', () => image({ layers: [] }), 'LAYER_CHAIN'],
    ['another diff_id', () => image({ layers: [{ id: 'top', parentId: '', diffId: other }] }), 'LAYER_CHAIN'],
    [
      'a diff_id that is a path',
      () => image({ layers: [{ id: 'top', parentId: '', diffId: '../../x' }] }),
      'INVALID_RESULT',
    ],
    [
      'a config that lists another diff_id',
      () => ({
        ...stream(directoryStream()),
        ...image({ ...withConfig(config([other])), layers: [{ id: 'top', parentId: '', diffId: other }] }),
      }),
      'DIGEST_MISMATCH',
      { layer: other },
    ],
    [
      'a negative size',
      () => image({ layers: [{ id: 'top', parentId: '', diffId: DIFF_ID, size: -1 }] }),
      'INVALID_RESULT',
    ],
    ['5000 layers', () => image({ layerDigests: Array.from({ length: 5000 }, String) }), 'INVALID_RESULT'],
    [
      'an old server with too many layers',
      () => ({ ...image({ layerDigests: ['a', 'b'], layers: undefined as never }) }),
      'LAYER_CHAIN',
    ],
    [
      'an old server with a broken config',
      () => image({ ...withConfig(Buffer.from('{')), layers: undefined as never }),
      'CONFIG_INVALID',
    ],
  ],
};

function withConfig(bytes: Buffer): Partial<GetImageAnswer> {
  return { config: bytes.toString(), manifest: manifest(bytes).toString() };
}

function aSocket(): Fd {
  const [one, two] = socketpair();
  two.close();
  return one;
}

function seqpacket(): Fd {
  const [one, two] = socketpair('seqpacket');
  two.close();
  return one;
}

for (const [group, list] of Object.entries(cases))
  describe(`${group} that are wrong`, () => {
    for (const [what, script, code, place] of list) test(what, () => fails(script(), code, place));
  });

test('a manifest of 17 MiB', () =>
  fails(image({ manifest: manifest().toString() + ' '.repeat(17 << 20) }), 'MANIFEST_INVALID', {}, 5000));
