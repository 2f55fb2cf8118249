// The image proxy, as programs start it and talk to it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sourceFromFd } from '../../../src/fd/byte-source.js';
import { Fd, fromFd } from '../../../src/fd/fd-passing.js';
import { readChunk } from '../../../src/layer/content.js';
import { decodeSplitdirfdstream } from '../../../src/layer/splitdirfdstream-decoder.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import { methods as jsonMethods } from '../../../src/rpc/contracts/splitfdstream.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { VarlinkInterface } from '../../../src/rpc/varlink/interface.js';
import { serving } from '../../support/images/serving-layout.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSource } from '../../../src/oci/source/open.js';
import { cfsbridge } from '../../support/cli/run-cli.js';
import { smallFile, smallIndex, smallResults, unpackSmallStore } from '../../support/images/small-store.js';
import { newLayout, newRepository, sha256, tarOf, type Layout } from '../../support/images/source-layout.js';
import { withoutLeak } from '../../support/open-fds.js';
import { readAll, StartedProxy, type ProxyAnswer } from '../../support/servers/started-proxy.js';

const GetLayer = VarlinkInterface.fromProto('containers-storage/org.composefs.Oci.varlink').method<
  { handle: number; params: object },
  { dir_count: number }
>('GetLayer');

const store = unpackSmallStore();
after(() => store.remove());

const inStore = (name: string): string => `containers-storage:[overlay@${store.graphroot}]${name}`;
const failure = (error: string, code = 'other'): object => ({
  success: false,
  value: null,
  pipeid: 0,
  error_code: code,
  error,
});
const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const TAR = tarOf({ a: Buffer.alloc(3_000_000, 'some content '), b: 'small' });

function layoutWith(t: TestContext): { layout: Layout; reference: string; layer: string } {
  const layout = newLayout(t);
  layout.publish({ it: layout.image([{ tar: TAR }]) });
  return { layout, reference: `oci:${layout.path}:it`, layer: sha256(TAR) };
}

test('each layer of each image of a store is rebuilt byte for byte, and its documents are', async () => {
  await withoutLeak(async () => {
    await using proxy = await StartedProxy.initialized();
    for (const [name, image] of Object.entries(smallIndex())) {
      const id = (await proxy.call('OpenImage', inStore(name))).value;
      const { reply, bytes, finished } = await proxy.pipe('GetManifest', id);
      assert.equal(reply.value, image.manifest_digest, name);
      assert.equal(finished.success, true, name);
      const recorded = smallFile(image, 'manifest.json');
      const { mediaType } = JSON.parse(recorded.toString()) as { mediaType?: string };
      if (mediaType?.includes('docker') !== true) assert.deepEqual(bytes, recorded, name);
      const { value } = await proxy.call('GetLayerInfo', id);
      const layers = value as { digest: string; size: number }[];
      assert.ok(layers.length > 0, name);
      for (const { digest, size } of layers) {
        const blob = await proxy.pipe('GetBlob', id, digest, size);
        assert.deepEqual([blob.finished.error, digestOf(blob.bytes)], ['', digest], name);
      }
      assert.equal((await proxy.call('CloseImage', id)).success, true);
    }
    await proxy.send('Shutdown');
    assert.deepEqual(await proxy.ended, { status: 0, stderr: '' });
  });
});

test("the config of one of docker's images can be had under the digest that the converted manifest has", async () => {
  await using proxy = await StartedProxy.initialized();
  const id = (await proxy.call('OpenImage', inStore('localhost/beta:docker'))).value;
  const { bytes } = await proxy.pipe('GetManifest', id);
  const { config } = JSON.parse(bytes.toString()) as { config: { digest: string; size: number } };
  const blob = await proxy.pipe('GetBlob', id, config.digest, config.size);
  assert.equal(digestOf(blob.bytes), config.digest);
  assert.deepEqual(blob.bytes, (await proxy.pipe('GetFullConfig', id)).bytes);
});

test('images of a repository are served as those of a store', async (t) => {
  const { reference, layer } = layoutWith(t);
  const { path, repository } = await newRepository(t);
  await using source = await openSource(reference);
  await pullImage(repository, source, { name: 'it' });
  repository[Symbol.dispose]();
  await using proxy = await StartedProxy.initialized();
  const { value: id } = await proxy.call('OpenImage', `composefs:${path}:it`);
  assert.equal((await proxy.call('OpenImageOptional', `composefs:${path}:other`)).value, 0);
  assert.deepEqual((await proxy.call('GetLayerInfo', id)).value, [
    { digest: layer, size: TAR.length, media_type: 'application/vnd.oci.image.layer.v1.tar' },
  ]);
  assert.deepEqual((await proxy.pipe('GetBlob', id, layer, TAR.length)).bytes, TAR);
  const raw = await proxy.open('GetRawBlob', id, layer);
  const [data, errors] = await Promise.all(raw.fds.map((fd) => readAll(fd)));
  assert.deepEqual([data, errors?.length, raw.reply.value], [TAR, 0, TAR.length]);
});

test('wrong numbers, types and orders of arguments get the words of skopeo, and the connection goes on', async (t) => {
  const { reference, layer } = layoutWith(t);
  await withoutLeak(async () => {
    await using proxy = new StartedProxy();
    const call = (...request: [string, ...unknown[]]): Promise<ProxyAnswer> => proxy.call(...request);
    assert.deepEqual(await call('OpenImage', reference), failure('client error: must invoke Initialize'));
    assert.deepEqual(await call('FinishPipe', 1), failure('finishpipe: no active pipe 1'));
    assert.deepEqual(await call('Initialize', 1), failure('invalid request, expecting zero arguments'));
    assert.equal((await call('Initialize')).value, '0.2.9');
    assert.deepEqual(await call('Initialize'), failure('already initialized'));
    assert.equal((await call('OpenImage', reference)).value, 1);
    const whole = (value: number): string => `expecting a whole number that is not negative, not ${value}`;
    for (const [request, error] of [
      [['OpenImage'], 'invalid request, expecting one argument'],
      [['OpenImage', 1], 'expecting string imageref, not float64'],
      [['OpenImage', null], 'expecting string imageref, not <nil>'],
      [['OpenImage', true], 'expecting string imageref, not bool'],
      [['OpenImage', [1]], 'expecting string imageref, not []interface {}'],
      [['OpenImage', { a: 1 }], 'expecting string imageref, not map[string]interface {}'],
      [['OpenImage', 'nothing'], 'Invalid image name "nothing", expected colon-separated transport:reference'],
      [['OpenImage', 'foo:bar'], 'Invalid image name "foo:bar", unknown transport "foo"'],
      [['GetManifest', 0], 'Invalid imageid value of zero'],
      [['GetManifest', 7], 'no image 7'],
      [['GetManifest', 'x'], 'expecting numeric, not string'],
      [['GetManifest', 2 ** 53], 'out of range integer for numeric 9007199254740992.000000'],
      [['GetManifest', 2 ** 64], 'out of range integer for numeric 18446744073709551616.000000'],
      [['GetManifest', 1.5], whole(1.5)],
      [['GetManifest', -1], whole(-1)],
      [['GetConfig'], 'invalid request, expecting: [imgid]'],
      [['GetBlob', 1, layer], 'found 2 args, expecting (imgid, digest, size)'],
      [['GetBlob', 1, layer, -1], whole(-1)],
      [['GetBlob', 1, 5, 1], 'expecting string blobid'],
      [['GetBlob', 1, 'abc', 1], 'invalid checksum digest format'],
      [['GetBlob', 1, 'sha256:abc', 1], 'invalid checksum digest length'],
      [['GetBlob', 1, `md5:${'0'.repeat(32)}`, 1], 'unsupported digest algorithm'],
      [['GetRawBlob', 1], 'found 1 args, expecting (imgid, digest)'],
      [['GetLayerInfo'], 'found 0 args, expecting (imgid)'],
      [['FinishPipe'], 'invalid request, expecting one argument'],
      [['FinishPipe', 5], 'finishpipe: no active pipe 5'],
      [['Nothing', 1], 'unknown method: Nothing'],
      [['constructor'], 'unknown method: constructor'],
    ] as const)
      assert.deepEqual(await call(...(request as unknown as [string, ...unknown[]])), failure(error));
    assert.equal((await call('GetLayerInfo', 1)).success, true);
  });
});

test('packets that are no requests, and such as are too long, are refused one by one', async () => {
  await using proxy = await StartedProxy.initialized();
  for (const packet of [
    'x',
    '[]',
    '{"method":5}',
    '{"method":"Nothing","args":{}}',
    `{"method":"${'x'.repeat(40_000)}"}`,
  ]) {
    await proxy.connection.send(Buffer.from(packet));
    const { reply } = await proxy.reply();
    assert.match(reply.error, /^invalid request: /, packet.slice(0, 40));
    assert.equal(reply.error_code, 'other');
  }
  assert.equal((await proxy.call('Nothing')).error, 'unknown method: Nothing');
});

test('descriptors that a client sends are closed', async () => {
  await using proxy = await StartedProxy.initialized();
  await proxy.call('Nothing');
  const before = proxy.descriptors;
  using fd = new Fd(openSync('/dev/null', 'r'));
  for (let times = 0; times < 20; times++) {
    await proxy.connection.send(Buffer.from('{"method":"Nothing"}'), [fd, fd, fd]);
    await proxy.reply();
  }
  assert.equal(proxy.descriptors, before);
});

test('keys of replies stand in the order of skopeo', async () => {
  await using proxy = await StartedProxy.initialized();
  await proxy.send('Nothing');
  const segment = await proxy.connection.receive();
  assert.deepEqual(Object.keys(JSON.parse(segment!.bytes.toString()) as object), [
    'success',
    'value',
    'pipeid',
    'error_code',
    'error',
  ]);
});

test('a blob with another size or digest is an error of FinishPipe, and no more than was announced is sent', async (t) => {
  const { layout, reference, layer } = layoutWith(t);
  await using proxy = await StartedProxy.initialized();
  await proxy.call('OpenImage', reference);
  const short = await proxy.pipe('GetBlob', 1, layer, 1000);
  assert.deepEqual(short.bytes, TAR.subarray(0, 1000));
  assert.equal(short.finished.error, `expected 1000 bytes in blob, got ${TAR.length}`);
  const long = await proxy.pipe('GetBlob', 1, layer, TAR.length + 1);
  assert.equal(long.finished.error, `expected ${TAR.length + 1} bytes in blob, got ${TAR.length}`);
  const damaged = Buffer.from(TAR);
  damaged[1_000_000]! ^= 1;
  writeFileSync(layout.fileOf(layer), damaged);
  const wrong = await proxy.pipe('GetBlob', 1, layer, TAR.length);
  assert.equal(wrong.finished.error, `corrupted blob, expecting ${layer}`);
  assert.equal(wrong.finished.error_code, 'other');
  assert.equal((await proxy.call('GetLayerInfo', 1)).success, true);
});

test('blobs named by SHA-512 are verified, too', async (t) => {
  const { layout, reference } = layoutWith(t);
  const digest = `sha512:${createHash('sha512').update(TAR).digest('hex')}`;
  mkdirSync(join(layout.path, 'blobs/sha512'));
  writeFileSync(layout.fileOf(digest), TAR);
  await using proxy = await StartedProxy.initialized();
  await proxy.call('OpenImage', reference);
  assert.deepEqual((await proxy.pipe('GetBlob', 1, digest, TAR.length)).bytes, TAR);
  writeFileSync(layout.fileOf(digest), Buffer.alloc(TAR.length));
  const { finished } = await proxy.pipe('GetBlob', 1, digest, TAR.length);
  assert.equal(finished.error, `corrupted blob, expecting ${digest}`);
});

test('a pipe that is closed early ends with EPIPE, and can be finished once', async (t) => {
  const { reference, layer } = layoutWith(t);
  await withoutLeak(async () => {
    await using proxy = await StartedProxy.initialized();
    await proxy.call('OpenImage', reference);
    const { reply, fds } = await proxy.open('GetBlob', 1, layer, TAR.length);
    for (const fd of fds) fd.close();
    const { error_code: code, success } = await proxy.call('FinishPipe', reply.pipeid);
    assert.deepEqual([success, code], [false, 'EPIPE']);
    assert.deepEqual(
      await proxy.call('FinishPipe', reply.pipeid),
      failure(`finishpipe: no active pipe ${reply.pipeid}`),
    );
    const raw = await proxy.open('GetRawBlob', 1, layer);
    raw.fds[0]!.close();
    assert.equal((JSON.parse((await readAll(raw.fds[1]!)).toString()) as { code: string }).code, 'EPIPE');
    assert.deepEqual((await proxy.pipe('GetBlob', 1, layer, TAR.length)).bytes, TAR);
  });
});

test('while a pipe is waited for, later requests are worked on, and replies keep their order', async (t) => {
  const { reference, layer } = layoutWith(t);
  await using proxy = await StartedProxy.initialized();
  await proxy.call('OpenImage', reference);
  const first = await proxy.open('GetBlob', 1, layer, TAR.length);
  await proxy.send('FinishPipe', first.reply.pipeid);
  // The reply to this comes after the other, but the pipe in it is filled meanwhile: the blob is read in between.
  await proxy.send('GetRawBlob', 1, layer);
  await proxy.send('Nothing');
  await sleep(300);
  assert.equal(proxy.connection.receiveNow(), undefined);
  assert.deepEqual(await readAll(first.fds[0]!), TAR);
  assert.equal((await proxy.reply()).reply.success, true);
  const second = await proxy.reply();
  assert.equal(second.reply.value, TAR.length);
  const [data] = await Promise.all(second.fds.map((fd) => readAll(fd)));
  assert.deepEqual(data, TAR);
  assert.equal((await proxy.reply()).reply.error, 'unknown method: Nothing');
});

test('a reader that takes nothing while FinishPipe waits is given up after the limit', async (t) => {
  const { reference, layer } = layoutWith(t);
  await using proxy = await StartedProxy.initialized(['--idle-limit', '1', '--insecure-policy']);
  await proxy.call('OpenImage', reference);
  const { reply, fds } = await proxy.open('GetBlob', 1, layer, TAR.length);
  // Before FinishPipe a client may take its time.
  await sleep(1500);
  const asked = performance.now();
  const finished = await proxy.call('FinishPipe', reply.pipeid);
  assert.equal(finished.error, 'the reader took nothing for 1 s: the pipe is given up');
  assert.ok(performance.now() - asked > 900);
  for (const fd of fds) fd.close();
  assert.deepEqual((await proxy.pipe('GetBlob', 1, layer, TAR.length)).bytes, TAR);
});

test('a registry that stalls is an error to try again, and the connection goes on', async (t) => {
  const { layout, layer } = layoutWith(t);
  let stall: 'blob' | 'later' | 'manifest' | undefined;
  const image = layout.image([{ tar: TAR }]);
  const server = await serving(t, layout, image, {
    fault: (request, response) => {
      if (stall === undefined) return false;
      if (stall === 'manifest') return request.url?.includes('/manifests/') === true;
      if (request.url?.includes(`/blobs/${layer}`) !== true) return false;
      if (stall === 'later') response.writeHead(200, { 'content-length': TAR.length }).write(TAR.subarray(0, 100_000));
      return true;
    },
  });
  await using proxy = await StartedProxy.initialized(['--idle-limit=5', '--insecure-policy', '--tls-verify=false']);
  const reference = `docker://${server.host}/a/b`;
  assert.equal((await proxy.call('OpenImage', reference)).success, true);
  const within = async (what: () => Promise<ProxyAnswer>): Promise<void> => {
    const asked = performance.now();
    const { success, error_code: code } = await what();
    assert.deepEqual([success, code], [false, 'retryable']);
    assert.ok(performance.now() - asked < 10_000);
  };
  stall = 'blob';
  await within(() => proxy.call('GetBlob', 1, layer, TAR.length));
  stall = 'later';
  await within(async () => (await proxy.pipe('GetBlob', 1, layer, TAR.length)).finished);
  await within(async () => {
    const { fds } = await proxy.open('GetRawBlob', 1, layer);
    const [, errors] = await Promise.all(fds.map((fd) => readAll(fd)));
    const { code } = JSON.parse(String(errors)) as { code: string };
    return { success: false, value: null, pipeid: 0, error_code: code, error: '' };
  });
  stall = 'manifest';
  await within(() => proxy.call('OpenImage', reference));
  stall = undefined;
  assert.deepEqual((await proxy.pipe('GetBlob', 1, layer, TAR.length)).bytes, TAR);
});

test('a registry whose connections break off, and that answers 503 in between, gives the whole blob', async (t) => {
  const { layout, layer } = layoutWith(t);
  const image = layout.image([{ tar: TAR }]);
  let asked = 0;
  const server = await serving(t, layout, image, {
    ranges: { cutEvery: 1_200_000 },
    fault: (request, response) => {
      if (request.url?.includes(`/blobs/${layer}`) !== true || ++asked !== 2) return false;
      response.writeHead(503, { 'retry-after': '0' }).end();
      return true;
    },
  });
  await using proxy = await StartedProxy.initialized(['--insecure-policy', '--tls-verify=false']);
  await proxy.call('OpenImage', `docker://${server.host}/a/b`);
  const { bytes, finished } = await proxy.pipe('GetBlob', 1, layer, TAR.length);
  assert.deepEqual([finished.error, bytes.equals(TAR)], ['', true]);
  assert.ok(asked > 3);
});

test('an image that a registry does not have is 0 to OpenImageOptional, and an error that says so otherwise', async (t) => {
  const { layout } = layoutWith(t);
  const server = await serving(t, layout, layout.image([{ tar: TAR }]));
  await using proxy = await StartedProxy.initialized(['--insecure-policy', '--tls-verify=false']);
  assert.equal((await proxy.call('OpenImageOptional', `docker://${server.host}/a/b:other`)).value, 0);
  const { error, error_code: code } = await proxy.call('OpenImage', `docker://${server.host}/a/b:other`);
  assert.match(error, /manifest unknown/);
  assert.equal(code, 'other');
});

test('its sockets give layers of images that are open on the connection, and no others', async () => {
  await withoutLeak(async () => {
    await using proxy = await StartedProxy.initialized();
    const [first, second] = [smallIndex()['alpha:v1']!, smallIndex()['zeta:pax']!];
    assert.equal((await proxy.call('OpenJSONRPCFdPass')).error, 'splitfdstream store not configured');
    const id = (await proxy.call('OpenImage', inStore('localhost/alpha:v1'))).value;
    const json = await proxy.open('OpenJSONRPCFdPass');
    {
      using client = new JsonRpcConnection(fromFd(json.fds[0]!));
      const { result } = await client.call(jsonMethods.ListImages, {});
      assert.deepEqual(
        result.images.map(({ id: image }) => image),
        [first.image_id],
      );
      await assert.rejects(client.call(jsonMethods.GetImage, { imageId: second.image_id }), /not opened on this/);
    }
    const [one] = smallResults(first).diff_ids;
    const other = smallResults(second).diff_ids.at(-1);
    const store = `[overlay@${inStore('').slice('containers-storage:[overlay@'.length, -1)}]`;
    for (const argument of [id, store]) {
      const socket = await proxy.open('OpenVarlinkSocket', argument);
      assert.deepEqual([socket.reply.value, socket.reply.pipeid, socket.fds.length], [null, 0, 1]);
      using client = new VarlinkConnection(fromFd(socket.fds[0]!));
      const { fds } = await client.call(GetLayer, { handle: 0, params: { diff_id: one } });
      const hash = createHash('sha256');
      {
        await using layer = decodeSplitdirfdstream(sourceFromFd(fds[0]!), [fds[1]!]);
        for await (const chunks of layer)
          for (const chunk of chunks)
            for await (const piece of chunk.kind === 'bytes' ? [chunk.bytes] : readChunk(chunk)) hash.update(piece);
      }
      fds[2]!.close();
      assert.equal(`sha256:${hash.digest('hex')}`, one);
      for (const params of [
        { diff_id: other },
        { storage: { storage_path: store.slice(9, -1), layer_id: smallResults(second).store_layer_chain.at(-1) } },
      ])
        await assert.rejects(client.call(GetLayer, { handle: 0, params }), /NoSuchLayer/);
    }
    assert.equal((await proxy.call('OpenVarlinkSocket', 77)).error, 'no image 77');
  });
});

test('an image is closed when its last pipe is', async (t) => {
  const { reference, layer } = layoutWith(t);
  await using proxy = await StartedProxy.initialized();
  await proxy.call('OpenImage', reference);
  const before = proxy.descriptors;
  const { reply, fds } = await proxy.open('GetBlob', 1, layer, TAR.length);
  assert.equal((await proxy.call('CloseImage', 1)).success, true);
  const [bytes, finished] = await Promise.all([readAll(fds[0]!), proxy.call('FinishPipe', reply.pipeid)]);
  assert.deepEqual([bytes, finished.success], [TAR, true]);
  assert.ok(proxy.descriptors < before);
});

test('the end of the client at any step ends the process, with 0', async (t) => {
  const { reference, layer } = layoutWith(t);
  const steps: [string, ...unknown[]][] = [
    ['Initialize'],
    ['OpenImage', reference],
    ['GetManifest', 1],
    ['GetBlob', 1, layer, TAR.length],
    ['GetRawBlob', 1, layer],
  ];
  await withoutLeak(async () => {
    for (let count = 0; count <= steps.length; count++) {
      const proxy = new StartedProxy();
      const fds: Fd[] = [];
      for (const step of steps.slice(0, count)) fds.push(...(await proxy.open(...step)).fds);
      proxy.connection.close();
      assert.deepEqual(await proxy.ended, { status: 0, stderr: '' }, `after ${count} requests`);
      for (const fd of fds) fd.close();
    }
  });
});

test('requests and aborts without number leave descriptors and memory as they were', async (t) => {
  const { reference, layer } = layoutWith(t);
  await using proxy = await StartedProxy.initialized();
  const total = Number(process.env['CFSBRIDGE_PROXY_REQUESTS'] ?? 1500);
  let seed = 42;
  const dice = (sides: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * sides);
  };
  let baseline: { descriptors: number; memory: number } | undefined;
  for (let requests = 0; requests < total; ) {
    const id = (await proxy.call('OpenImage', reference)).value as number;
    const { reply, fds } = await proxy.open(
      ...((dice(2) === 0 ? ['GetBlob', id, layer, TAR.length] : ['GetRawBlob', id, layer]) as [string, ...unknown[]]),
    );
    requests += 4;
    const whole = dice(8) === 0;
    const read = whole ? Promise.all(fds.map((fd) => readAll(fd))) : undefined;
    if (!whole) for (const fd of fds) fd.close();
    if (dice(4) === 0) await proxy.call('GetManifest', id).then(({ pipeid }) => proxy.call('FinishPipe', pipeid));
    if (reply.pipeid > 0) await proxy.call('FinishPipe', reply.pipeid);
    await read;
    await proxy.call('CloseImage', id);
    if (requests > total / 4) baseline ??= { descriptors: proxy.descriptors, memory: proxy.memory };
  }
  await sleep(200);
  const { descriptors, memory } = baseline!;
  t.diagnostic(
    `${total} requests: ${descriptors} → ${proxy.descriptors} descriptors, ` +
      `${memory >> 20} → ${proxy.memory >> 20} MiB`,
  );
  // One raw blob may have been under way when it was counted.
  assert.ok(proxy.descriptors <= descriptors + 6);
  assert.ok(proxy.memory < memory + (48 << 20));
});

test('by the name of skopeo it has the help that callers look at, and hands other commands on', async (t) => {
  const layout = newLayout(t);
  const folder = layout.path;
  mkdirSync(join(folder, 'one'));
  mkdirSync(join(folder, 'two'));
  const named = join(folder, 'one/skopeo');
  symlinkSync(cfsbridge, named);
  writeFileSync(join(folder, 'two/skopeo'), '#!/bin/sh\necho "real $@"; exit 7\n');
  chmodSync(join(folder, 'two/skopeo'), 0o755);
  const env = { PATH: `${join(folder, 'one')}:${join(folder, 'two')}:${process.env['PATH']}` };
  const run = (...args: string[]) => spawnSync(named, args, { env, encoding: 'utf8' });
  assert.match(run('--help').stdout, /--user-agent-prefix/);
  const other = run('--debug', 'copy', 'a', '--b=c');
  assert.deepEqual([other.stdout, other.status], ['real --debug copy a --b=c\n', 7]);
  await using proxy = new StartedProxy([named, '--insecure-policy', 'experimental-image-proxy'], env);
  assert.equal((await proxy.call('Initialize')).value, '0.2.9');
});

test('it works for nobody, with an empty environment', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root to become nobody');
  const { layout, reference, layer } = layoutWith(t);
  spawnSync('chmod', ['-R', 'a+rX', join(layout.path, '..')]);
  const command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', '-i'];
  const path = `PATH=${process.env['PATH']}`;
  const start = [...command, path, cfsbridge, '--insecure-policy', 'experimental-image-proxy'];
  if (spawnSync('setpriv', [...start.slice(1, -1), '--version']).status !== 0)
    return t.skip('nobody cannot read this checkout');
  await using proxy = new StartedProxy(start);
  await proxy.call('Initialize');
  assert.equal((await proxy.call('OpenImage', reference)).success, true);
  assert.deepEqual((await proxy.pipe('GetBlob', 1, layer, TAR.length)).bytes, TAR);
});
