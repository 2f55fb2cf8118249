// systemd's varlinkctl calls every method of our server and of cfsctl's by hand, on copies of one repository: same
// replies, same errors.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Repository } from '../../src/repository/repository.js';
import { parseIdl } from '../../src/rpc/varlink/idl.js';
import { encodeSplitdirfdstream } from '../../src/layer/splitdirfdstream-encoder.js';
import { layerContentId } from '../../src/repository/names.js';
import { objectsByName, RepositoryLayer } from '../../src/oci/image/repository-layer.js';
import { openSource } from '../../src/oci/source/open.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import { END, header, padded, pax } from '../support/layers/make-tar.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { inPeers, peers, run, SharedFolder, whyNoPeers, type Answer } from './peers.js';
import { assertSound, makeRepository } from './repositories.js';
import { startServer } from './varlink-servers.js';

const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/varlinkctl')) ? false : 'varlinkctl is not there; scripts/peers.sh installs it');

const SERVERS = ['cfsbridge', 'cfsctl'] as const;
type Server = (typeof SERVERS)[number];

function layerTar(prefix: string): Buffer {
  const files = Array.from({ length: 12 }, (_, i) => {
    const content = Buffer.alloc(50 + i * 400, `${prefix}${i} `);
    return Buffer.concat([header({ name: `usr/${prefix}${i}`, size: content.length }), padded(content)]);
  });
  return Buffer.concat([header({ name: 'usr/', type: '5', mode: 0o755 }), ...files, END]);
}

describe('varlinkctl', { skip }, () => {
  let folder: SharedFolder;
  let image: PullResult;
  const running: AsyncDisposable[] = [];
  const repository = (server: Server): string => join(folder.path, server);
  /** a second one, which begins empty */
  const other = (server: Server): string => join(folder.path, `${server}-other`);
  const address = (server: Server): string => `unix:${folder.inside}/${server}.sock`;
  const varlinkctl = (...args: string[]): Answer => run(inPeers, ['varlinkctl', ...args], { CFSBRIDGE_PEERS: peers });

  before(async () => {
    folder = new SharedFolder();
    writeLayout(join(folder.path, 'layout'), [layerTar('a'), layerTar('b')]);
    {
      using ours = await Repository.open(makeRepository(repository('cfsbridge')), { write: true });
      await using source = await openSource(reference());
      image = await pullImage(ours, source, { name: 'it' });
      ours.writeRef('images', 'named', [...image.images.values()][0]!);
    }
    cpSync(repository('cfsbridge'), repository('cfsctl'), { recursive: true, verbatimSymlinks: true });
    for (const server of SERVERS) {
      running.push(await startServer(server, join(folder.path, `${server}.sock`)));
      call(server, 'org.composefs.Repository.OpenRepository', { path: repository(server) });
    }
  });
  after(async () => {
    for (const server of running) await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const reference = (): string => `oci:${join(folder.path, 'layout')}:image`;
  const diffId = (index: number): string => image.layers[index]!.diffId;

  /**
   * What comes of a call: the replies, or the error and its parameters; errors of varlink itself in the system's words.
   * Messages are everybody's own.
   */
  function call(server: Server, method: string, parameters: object, ...options: string[]): unknown {
    const { status, stdout, stderr } = varlinkctl(
      '-j',
      ...options,
      'call',
      address(server),
      method,
      JSON.stringify(parameters),
    );
    const replies = stdout
      .replaceAll('\x1e', '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    if (status === 0) return replies;
    const error = /failed: (.*)\n/.exec(stderr)?.[1];
    const [{ message: _, ...values } = {}] = replies as { message?: string }[];
    return { error, values };
  }

  /** Runs the same call on both; paths are those of each server's own folder. */
  function both(method: string, parameters: (server: Server) => object): unknown {
    const [ours, theirs] = SERVERS.map((server) => call(server, method, parameters(server)));
    assert.deepEqual(ours, theirs, method);
    return ours;
  }

  for (const name of ['org.composefs.Repository', 'org.composefs.Oci', 'org.varlink.service']) {
    test(`introspects ${name}, the same as cfsctl's`, () => {
      const [ours, theirs] = SERVERS.map((server) => varlinkctl('introspect', address(server), name));
      assert.equal(ours?.status, 0, ours?.stderr);
      assert.deepEqual(parseIdl(ours?.stdout ?? ''), parseIdl(theirs?.stdout ?? ''));
      assert.deepEqual(
        parseIdl(readFileSync(new URL(`../../../proto/${name}.varlink`, import.meta.url), 'utf8')),
        parseIdl(theirs?.stdout ?? ''),
      );
    });
  }

  test('takes every definition in proto/ for valid', () => {
    for (const name of [
      'org.composefs.Repository',
      'org.composefs.Oci',
      'org.composefs.bridge.Ostree',
      'org.varlink.service',
      'io.cncf.composefs.OciTransfer',
      'containers-storage/org.composefs.Oci',
    ]) {
      const text = readFileSync(new URL(`../../../proto/${name}.varlink`, import.meta.url));
      writeFileSync(join(folder.path, 'definition'), text);
      const { status, stderr } = varlinkctl('validate-idl', `${folder.inside}/definition`);
      assert.equal(status, 0, `${name}: ${stderr}`);
    }
  });

  test('shows what is served', () => {
    const info = varlinkctl('info', address('cfsbridge'));
    assert.match(info.stdout, /Vendor: composefs-bridge\n.*Product: cfsbridge\n/s);
    assert.deepEqual(
      ...(SERVERS.map((server) =>
        varlinkctl('list-methods', address(server))
          .stdout.split('\n')
          .filter((line) => !line.startsWith('org.composefs.bridge.'))
          .sort(),
      ) as [string[], string[]]),
    );
  });

  const none = `sha256:${'0'.repeat(64)}`;
  const REPOSITORY = 'org.composefs.Repository.';
  const OCI = 'org.composefs.Oci.';
  const handle = 1;
  const calls: [method: string, parameters: (server: Server) => object][] = [
    [`${OCI}GetInfo`, () => ({})],
    [`${REPOSITORY}InitRepository`, (server) => ({ path: other(server), insecure: true })],
    [`${REPOSITORY}InitRepository`, (server) => ({ path: other(server), insecure: true })],
    [
      `${REPOSITORY}InitRepository`,
      (server) => ({ path: other(server), insecure: true, algorithm: 'fsverity-sha256-12' }),
    ],
    [`${REPOSITORY}InitRepository`, (server) => ({ path: other(server), algorithm: 'md5' })],
    [`${REPOSITORY}EnsureRepository`, (server) => ({ path: other(server), insecure: true })],
    [
      `${REPOSITORY}EnsureRepository`,
      (server) => ({ path: `${other(server)}2`, insecure: true, algorithm: 'fsverity-sha256-12' }),
    ],
    [`${REPOSITORY}OpenRepository`, (server) => ({ path: other(server) })],
    [`${REPOSITORY}OpenRepository`, (server) => ({ path: `${other(server)}2` })],
    [`${REPOSITORY}OpenRepository`, () => ({ user: false })],
    [`${REPOSITORY}OpenRepository`, () => ({ path: '/nowhere' })],
    [`${REPOSITORY}OpenRepository`, () => ({ path: '/nowhere', system: true })],
    [`${REPOSITORY}CloseRepository`, () => ({ handle: 99 })],
    [`${REPOSITORY}CloseRepository`, () => ({ handle: 3 })],
    [`${REPOSITORY}Fsck`, () => ({ handle })],
    [`${REPOSITORY}Fsck`, () => ({ handle, metadata_only: true })],
    [`${REPOSITORY}Fsck`, () => ({ handle: 3 })],
    [`${REPOSITORY}Gc`, () => ({ handle, dry_run: true, roots: [] })],
    [`${REPOSITORY}Gc`, () => ({ handle: 99, dry_run: true, roots: [] })],
    [`${REPOSITORY}ImageObjects`, () => ({ handle, name: 'refs/named' })],
    [`${REPOSITORY}ImageObjects`, () => ({ handle, name: [...image.images.values()][0] })],
    [`${REPOSITORY}ImageObjects`, () => ({ handle, name: 'refs/nothing' })],
    [`${REPOSITORY}ListImageRefs`, () => ({ handle })],
    [`${REPOSITORY}Mount`, () => ({ handle, name: 'refs/named', options: {} })],
    [`${REPOSITORY}Mount`, () => ({ handle, name: 'refs/nothing', options: {} })],
    [`${REPOSITORY}Mount`, () => ({ handle, name: 'refs/named', options: { overlay: true } })],
    [`${OCI}ListImages`, () => ({ handle })],
    [`${OCI}ListImages`, () => ({ handle, filter: 'x' })],
    [`${OCI}ListImages`, () => ({ handle: 99 })],
    [`${OCI}Check`, () => ({ handle })],
    [`${OCI}Check`, () => ({ handle, image: 'it' })],
    [`${OCI}Inspect`, () => ({ handle, image: 'it' })],
    [`${OCI}Inspect`, () => ({ handle, image: `@${image.manifestDigest}` })],
    [`${OCI}Inspect`, () => ({ handle, image: 'nothing' })],
    [`${OCI}Inspect`, () => ({ handle, image: `@${none}` })],
    [`${OCI}Tag`, () => ({ handle, manifest_digest: image.manifestDigest, name: 'by/hand:1' })],
    [`${OCI}Tag`, () => ({ handle, manifest_digest: 'nothing', name: 'by/hand:2' })],
    [`${OCI}ListImages`, () => ({ handle, filter: 'by/' })],
    [`${OCI}Untag`, () => ({ handle, name: 'by/hand:1' })],
    [`${OCI}Untag`, () => ({ handle, name: 'by/hand:1' })],
    [`${OCI}ComputeId`, () => ({ handle, image: 'it', bootable: false })],
    [`${OCI}ComputeId`, () => ({ handle, image: 'it', bootable: false, xattrs: 'KeepUserXattrs' })],
    [`${OCI}ComputeId`, () => ({ handle, image: 'it', bootable: false, verity: image.configStream })],
    [`${OCI}ComputeId`, () => ({ handle, image: 'nothing', bootable: false })],
    [`${OCI}OciMount`, () => ({ handle, image: 'it', bootable: false, options: {} })],
    [`${OCI}OciMount`, () => ({ handle, image: image.manifestDigest, bootable: false, options: { read_write: true } })],
    [`${OCI}OciMount`, () => ({ handle, image: 'it', bootable: true, options: {} })],
    [`${OCI}OciMount`, () => ({ handle, image: 'it', bootable: false, options: { overlay: true } })],
    [`${OCI}HasLayer`, () => ({ handle, diff_id: diffId(0) })],
    [`${OCI}HasLayer`, () => ({ handle, diff_id: none })],
    [`${OCI}HasLayer`, () => ({ handle, diff_id: 'nothing' })],
    [`${OCI}GetLayer`, () => ({ handle, params: { diff_id: none, consumer_has_cap_dac_override: true } })],
    [`${OCI}GetLayer`, () => ({ handle, params: { diff_id: 'nothing', consumer_has_cap_dac_override: true } })],
    [`${OCI}GetLayer`, () => ({ handle, params: { consumer_has_cap_dac_override: true } })],
    [`${OCI}PutLayer`, () => ({ handle: 2, diff_id: none, zerocopy: false })],
    [`${OCI}FinalizeImage`, () => ({ handle: 2, manifest_json: 'x', config_json: 'y', layers: [] })],
    [
      `${OCI}FinalizeImage`,
      () => ({
        handle: 2,
        manifest_json: '{}',
        config_json: '{}',
        layers: [{ diff_id: 'nothing', layer_verity: '00' }],
      }),
    ],
    [`${OCI}Pull`, () => ({ handle, image: 'oci:/nowhere:it', local_fetch: 'disabled', bootable: false })],
    [
      `${OCI}Pull`,
      () => ({ handle, image: reference(), local_fetch: 'disabled', bootable: false, expected_digest: '00' }),
    ],
    [`${OCI}Pull`, () => ({ handle: 99, image: reference(), local_fetch: 'disabled', bootable: false })],
  ];

  test('calls every method, and gets from us what cfsctl says', () => {
    for (const [method, parameters] of calls) both(method, parameters);
    const methods = [REPOSITORY, OCI].flatMap((prefix) => {
      const idl = parseIdl(varlinkctl('introspect', address('cfsctl'), prefix.slice(0, -1)).stdout);
      return [...idl.methods.keys()].map((name) => prefix + name);
    });
    assert.deepEqual(
      methods.filter((method) => !calls.some(([called]) => called === method)),
      [],
    );
  });

  test('pulls, and is told about it', () => {
    const pull = (server: Server): { completed: Record<string, unknown>; done: unknown[] } => {
      const frames = call(
        server,
        `${OCI}Pull`,
        { handle: 2, image: reference(), name: 'it', local_fetch: 'disabled', bootable: false },
        '--more',
      ) as Record<string, Record<string, unknown>>[];
      // cfsctl writes the references of both streams in no fixed order.
      const { manifest_verity, config_verity, ...completed } = frames.at(-1)!['completed']!;
      if (server === 'cfsbridge')
        assert.deepEqual([manifest_verity, config_verity], [image.manifestStream, image.configStream]);
      const of = (kind: string): unknown[] =>
        frames.flatMap((frame) => (frame[kind] ? [JSON.stringify(frame[kind])] : [])).sort();
      return { completed, done: [...of('started'), ...of('done')] };
    };
    const [ours, theirs] = SERVERS.map(pull);
    assert.deepEqual(ours, theirs);
    for (const server of SERVERS) assertSound(other(server));
  });

  test('pulls to boot from: with either xattrs, and by an expected digest', () => {
    const layout = join(folder.path, 'boot-layout');
    const folders = ['boot/', 'sysroot/', 'usr/'].map((name) => header({ name, type: '5', mode: 0o755 }));
    const noted = [
      pax({ 'SCHILY.xattr.user.note': 'kept or not' }),
      header({ name: 'usr/noted', size: 300 }),
      padded(Buffer.alloc(300, 'n')),
    ];
    writeLayout(layout, [
      Buffer.concat([
        ...folders,
        header({ name: 'boot/kernel', size: 300 }),
        padded(Buffer.alloc(300, 'k')),
        ...noted,
        END,
      ]),
    ]);
    const open = (server: Server): number => {
      const path = `${other(server)}-boot`;
      call(server, `${REPOSITORY}InitRepository`, { path, insecure: true });
      return (call(server, `${REPOSITORY}OpenRepository`, { path }) as { handle: number }[])[0]!.handle;
    };
    const opened: Record<Server, number> = { cfsbridge: open('cfsbridge'), cfsctl: open('cfsctl') };
    const pull = (server: Server, more: object): unknown => {
      const reply = call(server, `${OCI}Pull`, {
        handle: opened[server],
        image: `oci:${layout}:image`,
        name: 'boot',
        local_fetch: 'disabled',
        bootable: true,
        ...more,
      });
      if (!Array.isArray(reply)) return reply;
      const {
        manifest_verity: _,
        config_verity: __,
        stats: ___,
        ...rest
      } = (reply as { completed: Record<string, unknown> }[])[0]!.completed;
      return rest;
    };
    const images = [{}, { xattrs: 'AllowlistOnly' }, { xattrs: 'KeepUserXattrs' }].map((more) => {
      const [ours, theirs] = SERVERS.map((server) => pull(server, more));
      assert.deepEqual(ours, theirs);
      return (ours as { boot_image: string }).boot_image;
    });
    assert.notEqual(images[0], images[2]);
    const wishes = [
      { expected_digest: images[2] },
      { expected_digest: images[0] },
      { expected_digest: '0'.repeat(128) },
      { expected_digest: '00' },
      { expected_digest: images[0], xattrs: 'AllowlistOnly' },
    ];
    for (const more of wishes) assert.deepEqual(pull('cfsbridge', more), pull('cfsctl', more));
    for (const xattrs of ['AllowlistOnly', 'KeepUserXattrs']) {
      const [ours, theirs] = SERVERS.map((server) =>
        call(server, `${OCI}ComputeId`, { handle: opened[server], image: 'boot', bootable: true, xattrs }),
      );
      assert.deepEqual(ours, theirs);
    }
    for (const server of SERVERS)
      assert.deepEqual(
        call(server, `${OCI}OciMount`, { handle: opened[server], image: 'boot', bootable: true, options: {} }),
        [{ fd_index: 0 }],
      );
  });

  test('hands the descriptors of a layer on to a program', () => {
    for (const server of SERVERS) {
      const parameters = JSON.stringify({
        handle,
        params: { diff_id: diffId(0), consumer_has_cap_dac_override: true },
      });
      // The layer's descriptors arrive from 3 on; the mode says what each is.
      const script =
        'cat >/dev/null; test -p /proc/self/fd/3 && grep -c usr/a - <&3; kill -0 $$; ls -d /proc/self/fd/*/00 ' +
        '2>/dev/null | wc -l';
      const { status, stdout, stderr } = varlinkctl(
        '--exec',
        'call',
        address(server),
        `${OCI}GetLayer`,
        parameters,
        '--',
        'sh',
        '-c',
        script,
      );
      assert.equal(status, 0, `${server}: ${stderr}`);
      assert.ok(Number(stdout.split('\n')[0]) > 0, `${server}: ${stdout}`);
    }
  });

  test('hands a mount on to a program', () => {
    for (const server of SERVERS) {
      const parameters = JSON.stringify({ handle, image: 'it', bootable: false, options: {} });
      const { status, stdout, stderr } = varlinkctl(
        '--exec',
        'call',
        address(server),
        `${OCI}OciMount`,
        parameters,
        '--',
        'sh',
        '-c',
        'cat >/dev/null; ls /proc/self/fd/3/usr; sha256sum </proc/self/fd/3/usr/b11',
      );
      assert.equal(status, 0, `${server}: ${stderr}`);
      assert.deepEqual(stdout.split('\n').length, 26, server);
      assert.match(stdout, /^a0\na1\n/);
    }
  });

  test('sends a layer and makes an image of it', async () => {
    const streams: string[] = [];
    {
      using ours = await Repository.open(repository('cfsbridge'));
      for (const index of [0, 1]) {
        await using layer = new RepositoryLayer(
          ours,
          ours.streamObject(layerContentId(diffId(index)))!,
          undefined,
          objectsByName(ours),
        );
        const pieces: Buffer[] = [];
        for await (const piece of encodeSplitdirfdstream(layer, () => 0)) pieces.push(Buffer.from(piece));
        streams.push(`stream-${index}`);
        writeFileSync(join(folder.path, `stream-${index}`), Buffer.concat(pieces));
      }
    }
    const inspected = call('cfsbridge', `${OCI}Inspect`, { handle, image: 'it' }) as {
      manifest: string;
      config: string;
    }[];
    const results = SERVERS.map((server) => {
      const target = `${other(server)}3`;
      call(server, `${REPOSITORY}InitRepository`, { path: target, insecure: true });
      const [opened] = call(server, `${REPOSITORY}OpenRepository`, { path: target }) as { handle: number }[];
      const layers = streams.map((stream, index) => {
        const parameters = JSON.stringify({ handle: opened!.handle, diff_id: diffId(index), zerocopy: false });
        const script =
          `exec varlinkctl -j --push-fd=3 --push-fd=4 call ${address(server)} ${OCI}PutLayer "$1" ` +
          `3<${folder.inside}/${stream} 4<${folder.inside}/cfsbridge/objects`;
        const { status, stdout, stderr } = run(inPeers, ['sh', '-c', script, 'sh', parameters], {
          CFSBRIDGE_PEERS: peers,
        });
        assert.equal(status, 0, `${server}: ${stderr}`);
        return { diff_id: diffId(index), layer_verity: (JSON.parse(stdout) as { layer_verity: string }).layer_verity };
      });
      const { manifest, config } = inspected[0]!;
      const [made] = call(server, `${OCI}FinalizeImage`, {
        handle: opened!.handle,
        manifest_json: manifest,
        config_json: config,
        layers,
        name: 'sent',
      }) as Record<string, string>[];
      assertSound(target);
      const { manifest_verity: _, ...rest } = made!;
      return { layers, ...rest };
    });
    assert.deepEqual(results[0], results[1]);
    assert.equal((results[0] as { config_verity?: string }).config_verity, image.configStream);
  });

  test('asks for what we do not do', () => {
    const upgrade = varlinkctl('--upgrade', 'call', address('cfsbridge'), `${OCI}GetInfo`, '{}');
    assert.match(upgrade.stderr, /org\.varlink\.service\.MethodNotImplemented/);
    assert.deepEqual(call('cfsbridge', `${OCI}Nothing`, {}), {
      error: 'No such device or address',
      values: { method: `${OCI}Nothing` },
    });
    assert.deepEqual(call('cfsbridge', `${OCI}HasLayer`, { handle: 'x', diff_id: none }), {
      error: 'Invalid argument',
      values: { parameter: 'handle' },
    });
    assert.equal(varlinkctl('--oneway', 'call', address('cfsbridge'), `${OCI}GetInfo`, '{}').status, 0);
  });

  test('collects garbage in both alike, although handles are open', () => {
    const garbage = (server: Server): unknown => {
      call(server, `${OCI}Untag`, { handle: 2, name: 'it' });
      return call(server, `${REPOSITORY}Gc`, { handle: 2, dry_run: false, roots: [] }, '--timeout=20');
    };
    const [ours] = garbage('cfsbridge') as { result: Record<string, number>; dry_run: boolean }[];
    assert.deepEqual([ours?.dry_run, ours?.result['images_pruned'], ours?.result['streams_pruned']], [false, 1, 4]);
  });
});
