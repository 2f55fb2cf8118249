// Deltas that we make, applied by cfsctl, and their patches by the Go program that the format comes from.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { publishPair } from '../support/images/delta-pair.js';
import { Layout } from '../support/images/source-layout.js';
import { runCli } from '../support/cli/run-cli.js';
import { buildTarDiff } from '../peers/tar-diff.js';
import { startRegistry, type Server } from './docker-registry.js';
import { cfsctl, peers, run, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { pullReport } from './repositories.js';

describe('deltas that we make', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let layout: Layout;
  let registry: Server;

  before(async () => {
    folder = new SharedFolder();
    layout = new Layout(join(folder.path, 'layout'));
    publishPair(layout);
    registry = await startRegistry(folder, 'plain');
  });
  after(async () => {
    registry.child.kill();
    if (registry.child.exitCode === null && registry.child.signalCode === null) await once(registry.child, 'close');
    folder[Symbol.dispose]();
  });

  let count = 0;
  function init(algorithm: string, version: number): string {
    const repository = join(folder.path, `repository-${count++}`);
    const kind = ['--algorithm', `fsverity-${algorithm}-12`, '--erofs-version', String(version)];
    succeed(cfsctl, ['--repo', repository, 'init', '--insecure', ...kind]);
    return repository;
  }

  function ours(repository: string, ...args: string[]): { stdout: string; stderr: string } {
    const { status, ...said } = runCli(['--repo', repository, ...args]);
    assert.equal(status, 0, said.stderr);
    return said;
  }

  /** A repository of ours with both images. */
  function bothImages(algorithm: string, version: number): string {
    const repository = init(algorithm, version);
    for (const name of ['old', 'new'])
      ours(repository, 'oci', 'pull', '--keep-blobs', `oci:${layout.path}:${name}`, name);
    return repository;
  }

  /** What cfsctl makes of the delta must be what it makes of the image itself. */
  function assertApplies(algorithm: string, version: number, delta: string): void {
    const direct = init(algorithm, version);
    const whole = pullReport(run(cfsctl, ['--repo', direct, 'oci', 'pull', `oci:${layout.path}:new`, 'new']));
    const repository = init(algorithm, version);
    succeed(cfsctl, ['--repo', repository, 'oci', 'pull', `oci:${layout.path}:old`, 'old']);
    const made = pullReport(run(cfsctl, ['--repo', repository, 'oci', 'pull', delta, 'new']));
    assert.equal(made['manifest'], whole['manifest']);
    assert.equal(made['config'], whole['config']);
    const idOf = (path: string): string => succeed(cfsctl, ['--repo', path, 'oci', 'compute-id', 'new']);
    assert.equal(idOf(repository), idOf(direct));
    assert.match(succeed(cfsctl, ['--repo', repository, 'oci', 'fsck']), /^status: ok$/m);
    for (const path of [direct, repository]) rmSync(path, { recursive: true });
  }

  for (const algorithm of ['sha256', 'sha512'])
    for (const version of [1, 2])
      for (const format of ['1', '2'])
        test(`cfsctl applies format ${format} with ${algorithm} and EROFS V${version}`, () => {
          const repository = bothImages(algorithm, version);
          for (const transport of ['oci', 'oci-archive']) {
            const delta = `${transport}:${join(folder.path, `delta-${count++}`)}`;
            ours(repository, 'oci', 'create-delta', '--format', format, 'old', 'new', delta);
            assertApplies(algorithm, version, delta);
          }
        });

  test('a pull from a registry finds it, and only where it is wanted', () => {
    const repository = bothImages('sha512', 1);
    const place = `docker://${registry.host}/app`;
    const tls = ['--tls-verify', 'false'];
    ours(repository, 'oci', 'push', ...tls, 'new', `${place}:new`);
    ours(repository, 'oci', 'create-delta', ...tls, 'old', 'new', place);
    const idOf = (path: string): string => ours(path, 'oci', 'compute-id', 'new').stdout;
    for (const more of [[], ['--no-delta']]) {
      const client = init('sha512', 1);
      ours(client, 'oci', 'pull', `oci:${layout.path}:old`, 'old');
      const { stderr } = ours(client, 'oci', 'pull', ...tls, '--insecure-policy', ...more, `${place}:new`, 'new');
      assert.equal(/ brought the image: .* instead of /.test(stderr), more.length === 0, stderr);
      assert.doesNotMatch(stderr, /warning/);
      assert.equal(idOf(client), idOf(repository));
    }
    // What the delta refers to is damaged: the image comes all the same.
    const blobs = join(folder.path, 'plain/docker/registry/v2/blobs/sha256');
    for (const path of readdirSync(blobs, { recursive: true, encoding: 'utf8' })) {
      const file = join(blobs, path);
      if (!path.endsWith('/data') || !readFileSync(file).subarray(0, 5).equals(Buffer.from('tardf'))) continue;
      writeFileSync(file, Buffer.alloc(readFileSync(file).length));
    }
    const client = init('sha512', 1);
    ours(client, 'oci', 'pull', `oci:${layout.path}:old`, 'old');
    const { stderr } = ours(client, 'oci', 'pull', ...tls, '--insecure-policy', `${place}:new`, 'new');
    assert.equal(stderr.match(/^warning: .*no delta can be used/gm)?.length, 1, stderr);
    assert.equal(idOf(client), idOf(repository));
  });

  test('the Go program applies the patches of format 1', (t) => {
    const programs = buildTarDiff(peers);
    if ('missing' in programs) return t.skip(programs.missing);
    const repository = bothImages('sha512', 1);
    const delta = join(folder.path, 'for-go');
    ours(repository, 'oci', 'create-delta', '--format', '1', 'old', 'new', `oci:${delta}`);
    const tree = join(folder.path, 'tree');
    mkdirSync(tree);
    const blob = (root: string, digest: string): Buffer => readFileSync(join(root, 'blobs', digest.replace(':', '/')));
    interface Document {
      layers: { digest: string; mediaType: string; annotations?: Record<string, string> }[];
    }
    const read = (root: string, name: string | undefined): Document => {
      const index = JSON.parse(readFileSync(join(root, 'index.json'), 'utf8')) as {
        manifests: { digest: string; annotations?: Record<string, string> }[];
      };
      const entry = index.manifests.find(
        ({ annotations }) => name === undefined || annotations?.['org.opencontainers.image.ref.name'] === name,
      );
      return JSON.parse(blob(root, entry?.digest ?? '').toString()) as Document;
    };
    for (const { digest } of read(layout.path, 'old').layers)
      execFileSync('tar', ['-xf', join(layout.path, 'blobs', digest.replace(':', '/')), '-C', tree]);
    const target = read(layout.path, 'new');
    const patches = read(delta, undefined).layers.filter(({ mediaType }) => mediaType === 'application/vnd.tar-diff');
    assert.equal(patches.length, 1);
    for (const { digest, annotations } of patches) {
      const to = annotations?.['io.github.containers.delta.to'] ?? '';
      assert.ok(target.layers.some((layer) => layer.digest === to));
      const out = join(folder.path, 'made.tar');
      execFileSync(programs.patch, [join(delta, 'blobs', digest.replace(':', '/')), tree, out]);
      assert.deepEqual(
        readFileSync(out),
        execFileSync('gzip', ['-dc'], { input: blob(layout.path, to), maxBuffer: 64 << 20 }),
      );
    }
    assert.ok(readdirSync(tree).length > 0);
  });
});
