// Programs that start `skopeo experimental-image-proxy` get the same from ours: one that makes every call of their
// crate, and cfsctl.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildPeer } from '../peers/peers.js';
import { runCli } from '../support/cli/run-cli.js';
import { smallIndex, smallResults } from '../support/images/small-store.js';
import { cfsctl, inTree, run, succeed, whyNoPeers, type Answer } from './peers.js';
import { ProxiedImages, type ProxySide } from './proxied-images.js';
import { fixedNamesOf, makeRepository, pullReport } from './repositories.js';

const missing = { missing: 'the real programs are not there' };
const client = whyNoPeers() === false ? buildPeer('image-proxy-client') : missing;
const ostree = whyNoPeers() === false ? buildPeer('ostree-ext-client') : missing;

describe('in the place of skopeo', { skip: whyNoPeers() }, () => {
  let images: ProxiedImages;
  before(async () => {
    images = await ProxiedImages.make();
    const { path } = images.folder;
    const { host } = images.registry;
    images.copy('localhost/alpha:v3', `docker://${host}/alpha:v3`, '--format', 'oci');
    images.copy('localhost/alpha:v3', `docker://${host}/docker:v3`, '--format', 'v2s2');
    images.copy('localhost/alpha:v3', `oci:${path}/layout:v3`, '--format', 'oci');
    images.copy('localhost/alpha:v3', `dir:${path}/dir`, '--format', 'oci');
    images.copy('localhost/alpha:v3', `oci-archive:${path}/archive.tar:v3`, '--format', 'oci');
    images.copy('localhost/alpha:v3', `docker-archive:${path}/docker.tar:localhost/alpha:v3`);
    assert.equal(run('gzip', [join(path, 'archive.tar')]).status, 0);
  });
  after(() => images[Symbol.asyncDispose]());

  const skip = 'missing' in client && client.missing;
  /** Runs the client without standing in the way of the registry. */
  async function ask(...args: string[]): Promise<unknown> {
    const child = spawn((client as { program: string }).program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const output: string[] = ['', ''];
    for (const [index, stream] of [child.stdout, child.stderr].entries())
      stream.setEncoding('utf8').on('data', (text: string) => (output[index] += text));
    const [status] = (await once(child, 'close')) as [number | null];
    assert.equal(status, 0, output[1]);
    return JSON.parse(output[0]!) as unknown;
  }

  const references: [what: string, of: (name: 'v3' | 'none') => string][] = [
    ['a registry', (name) => `docker://${images.registry.host}/alpha:${name}`],
    ['a registry, in the form of docker', (name) => `docker://${images.registry.host}/docker:${name}`],
    ['a layout', (name) => `oci:${images.folder.path}/layout:${name}`],
    ['a compressed archive', (name) => `oci-archive:${images.folder.path}/archive.tar.gz:${name}`],
    ['an archive of docker', (name) => `docker-archive:${images.folder.path}/docker.tar:localhost/alpha:${name}`],
    ['a store', (name) => images.stored(`localhost/alpha:${name}`)],
  ];
  for (const [what, of] of references)
    test(`every call of containers-image-proxy about an image of ${what} comes to the same`, { skip }, async () => {
      const [theirs, ours] = await Promise.all(
        images.sides.map(
          async ({ program }) => (await ask('calls', program, of('v3'), of('none'))) as Record<string, unknown>,
        ),
      );
      if (what.endsWith('docker')) {
        // The config that a converted manifest names is there with ours alone.
        const [, read, end] = ours!['config blob'] as [string, boolean, string];
        assert.deepEqual([read, end], [true, 'whole']);
        delete ours!['config blob'];
        delete theirs!['config blob'];
      }
      // With skopeo an archive of docker is opened whatever is in it.
      if (what.startsWith('an archive of docker'))
        for (const answers of [theirs!, ours!]) for (const key of ['missing', 'missing, optional']) delete answers[key];
      assert.equal((theirs!['blobs'] as unknown[]).length, theirs!['layers']);
      assert.deepEqual(ours, theirs);
    });

  test('layers that come over the socket that open_varlink_socket gives have their diff_ids', { skip }, async () => {
    const [, { program }] = images.sides;
    for (const name of ['localhost/alpha:v3', 'localhost/zeta:pax']) {
      const image = Object.values(smallIndex()).find(({ names }) => names.includes(name))!;
      const tars = (await ask('layers', program, images.stored(name))) as Record<string, string>[];
      assert.deepEqual(
        tars,
        smallResults(image).diff_ids.map((id) => ({ diff_id: id, 'by index': id, 'by diff_id': id })),
      );
    }
  });

  /** What `cfsctl oci pull` says of an image, and makes of it. */
  function pulled(side: ProxySide, reference: string, count: number): { answer: Answer; names: unknown } {
    const repository = makeRepository(join(images.folder.path, `repository-${side.name}-${count}`));
    const path = `${paths.get(side.name)!.path}:${process.env['PATH']}`;
    const answer = run(cfsctl, ['--repo', repository, 'oci', 'pull', reference, 'it'], { PATH: path });
    return { answer, names: [...fixedNamesOf(repository)] };
  }
  const paths = new Map<string, { path: string; log: string }>();
  before(() => images.sides.forEach((side) => paths.set(side.name, images.inPath(side))));

  const pulls: [what: string, of: () => string][] = [
    ['a registry', () => `docker://${images.registry.host}/alpha:v3`],
    ['a folder', () => `dir:${images.folder.path}/dir`],
    ['a compressed archive', () => `oci-archive:${images.folder.path}/archive.tar.gz:v3`],
    ['a store, without looking into it', () => images.stored('localhost/alpha:v3')],
  ];
  for (const [index, [what, of]] of pulls.entries())
    test(`cfsctl pulls an image of ${what} through either, with the same digests`, () => {
      const [theirs, ours] = images.sides.map((side) => {
        const { answer, names } = pulled(side, of(), index);
        return { ...pullReport(answer), names };
      });
      assert.ok((theirs as { manifest?: string }).manifest);
      assert.deepEqual(ours, theirs);
      for (const { log } of paths.values())
        assert.match(readFileSync(log, 'utf8').split('\n')[index] ?? '', /^experimental-image-proxy/);
    });

  test('cfsctl pulls an image of an archive of docker through neither: it takes its plain layers for compressed ones', () => {
    const reference = `docker-archive:${images.folder.path}/docker.tar:localhost/alpha:v3`;
    for (const side of images.sides) {
      const { answer } = pulled(side, reference, pulls.length);
      assert.equal(answer.status, 1, side.name);
      assert.match(answer.stderr, /Failed to import layer sha256:[0-9a-f]+\n.*Invalid gzip header/, side.name);
    }
  });

  const noOstree = 'missing' in ostree && ostree.missing;
  test('ostree-ext imports the commit that it put into an image through either', { skip: noOstree }, () => {
    const { path, inside } = images.folder;
    const { program } = ostree as { program: string };
    mkdirSync(join(path, 'tree/usr/bin'), { recursive: true });
    writeFileSync(join(path, 'tree/usr/bin/one'), 'content');
    writeFileSync(join(path, 'tree/usr/bin/large'), Buffer.alloc(3_000_000, 'some content '));
    symlinkSync('one', join(path, 'tree/usr/bin/link'));
    const inOstree = (repository: string, ...args: string[]): string =>
      inTree('ostree', `--repo=${inside}/${repository}`, ...args).trim();
    inOstree('from', 'init', '--mode=archive');
    const owner = ['--owner-uid=0', '--owner-gid=0'];
    const commit = inOstree('from', 'commit', '-b', 'os', `--tree=dir=${inside}/tree`, ...owner);
    const [theirs] = images.sides;
    const pathOf = ({ name }: ProxySide): string => `${paths.get(name)!.path}:${process.env['PATH']}`;
    const from = ['container', 'encapsulate', '--repo', join(path, 'from'), 'os', `oci:${path}/os`];
    succeed(program, from, { PATH: pathOf(theirs) });
    for (const side of images.sides) {
      const to = `${side.name}-ostree`;
      inOstree(to, 'init', '--mode=bare-user');
      const args = ['container', 'unencapsulate', '--repo', join(path, to), `ostree-unverified-image:oci:${path}/os`];
      const said = succeed(program, args, { PATH: pathOf(side) });
      assert.match(said, new RegExp(`^Imported: ${commit}$`, 'm'), side.name);
      assert.match(readFileSync(paths.get(side.name)!.log, 'utf8'), /^experimental-image-proxy/m, side.name);
      inOstree(to, 'fsck');
      assert.equal(inOstree(to, 'ls', '-R', '-C', commit), inOstree('from', 'ls', '-R', '-C', commit), side.name);
    }
  });

  test('our own client pulls through it what it pulls without, and shares files with a store, too', () => {
    const [, { program }] = images.sides;
    for (const [index, [what, of]] of references.filter(([name]) => /layout|store/.test(name)).entries()) {
      const [direct, through] = [[], ['--proxy-command', program, '--insecure-policy']].map((how, side) => {
        const repository = makeRepository(join(images.folder.path, `repository-own-${index}-${side}`));
        const { status, stdout, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...how, of('v3'), 'it']);
        assert.equal(status, 0, stderr);
        return stdout.split('\n');
      });
      assert.deepEqual(through!.slice(0, 4), direct!.slice(0, 4), what);
      // The socket gives names of files, which are taken as they lie.
      if (what === 'a store') assert.match(through![4]!, /^objects +[1-9]\d* (?:hard|ref)linked/);
    }
  });
});
