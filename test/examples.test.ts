// The examples in the comments of the sources and on the pages do what they say, in a world of their own.
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test, type TestContext } from 'node:test';
import * as fdPassing from '../src/fd/fd-passing.js';
import * as library from '../src/index.js';
import { isErrno } from '../src/fd/fd.js';
import {
  initRepository,
  listen,
  listSplitfdstreamImages,
  openOstreeRepository,
  openSource,
  openStorageImage,
  parseDump,
  pullCommit,
  pullImage,
  RemoteRepository,
  Repository,
  serveStore,
  serveVarlinkRepositories,
  Store,
  writeErofs,
} from '../src/index.js';
import { compileExamples, pageExamples, promisedOutput, sourceExamples, type Example } from './support/examples.js';
import { fixture } from './support/fixtures.js';
import { makeStore } from './support/images/made-store.js';
import { writeArchive } from './support/images/ostree-archive.js';
import { writeLayout } from './support/images/oci-layout.js';
import { writeInlineDelta } from './support/ostree/large-delta.js';
import { END, header, padded } from './support/layers/make-tar.js';
import { scriptedRegistry } from './support/servers/scripted-registry.js';

const IMAGE = 'docker.io/library/debian:12';
const LAYER = Buffer.concat([header({ name: 'greeting', size: 5 }), padded(Buffer.from('hello')), END]);
/** 5a5a… is an object of this tree. */
const DUMP = [
  '/ 0 40755 2 0 0 0 100.0 - - -',
  '/greeting 6 100644 1 0 0 0 200.0 - hello\\n -',
  `/tool 70000 100755 1 0 0 0 100.0 5a/${'5a'.repeat(31)} - ${'5a'.repeat(32)}`,
  '',
].join('\n');

/** Examples that are only compiled, and why. */
const NOT_RUN: Readonly<Record<string, string | false>> = {
  'src/fd/inherited.ts, listenFd': 'systemd passes the socket',
  'src/mount/mount.ts, attachMount': whyNoMounts(),
  'src/oci/source/proxy/image.ts, openProxyImage': 'it starts skopeo, which need not be here',
  'src/ostree/http/list-refs.ts, listServerRefs': 'it asks a server on the internet',
  'docs/image-proxy.md, 1': 'it starts skopeo, which need not be here',
  'src/mount/mount-stored.ts, mountStored': whyNoMounts(),
};

/** What is exported and needs no example of its own: others have to show it. */
const SHOWN_BY_OTHERS = new Set(['Fd', 'RemoteRepository', 'Repository', 'Store']);
/** Classes of what functions make: `parseDump`, `readErofs` and `scanFolder`, `connect` and `listen`. */
const MADE_BY_OTHERS = new Set(['Device', 'Directory', 'Regular', 'Special', 'Symlink', 'Connection', 'Listener']);

function whyNoMounts(): string | false {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  const known = readFileSync('/proc/filesystems', 'utf8');
  const missing = ['erofs', 'overlay'].filter((name) => !known.includes(`\t${name}\n`));
  return missing.length > 0 && `this kernel has no ${missing.join(' and no ')}`;
}

/** What an example finds: stores, repositories, a layout, files. */
async function makeWorld(folder: string): Promise<void> {
  for (const name of ['run', 'mnt', 'srv/rootfs', 'srv/upper', 'srv/work', 'srv/storage', 'home'])
    mkdirSync(join(folder, name), { recursive: true });
  const graphroot = join(folder, 'var/lib/containers/storage');
  makeStore(graphroot, [
    { name: IMAGE, layers: [{ entries: [{ name: 'greeting', content: Buffer.alloc(100_000, 'hello') }] }] },
    { name: 'localhost/app:latest', layers: [{ entries: [{ name: 'app', content: Buffer.from('hello') }] }] },
  ]);
  mkdirSync(join(folder, 'srv/layout'));
  writeLayout(join(folder, 'srv/layout'), [LAYER]);
  writeFileSync(join(folder, 'srv/rootfs/motd'), 'hi\n');
  mkdirSync(join(folder, 'home/.config/containers'), { recursive: true });
  writeFileSync(join(folder, 'home/.config/containers/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  writeFileSync(join(folder, 'tree.dump'), DUMP);
  writeFileSync(
    join(folder, 'image.cfs'),
    writeErofs(parseDump(Buffer.from(DUMP)), { version: 1, algorithm: 'sha256' }),
  );
  for (const [path, tags] of [
    ['var/lib/images', ['debian']],
    ['srv/backup', []],
    ['srv/composefs', ['quay.io/fedora/fedora:43']],
  ] as const) {
    initRepository(join(folder, path), { insecure: true });
    using repository = await Repository.open(join(folder, path), { write: true });
    for (const name of tags) {
      await using source = await openStorageImage(IMAGE, { graphroot });
      await pullImage(repository, source, { name });
    }
  }
  await makeCommits(folder);
}

/** A repository of ostree with two refs, one with the commit of one of them, an empty one of ostree, and a delta. */
async function makeCommits(folder: string): Promise<void> {
  const [archive, path] = [join(folder, 'srv/ostree'), join(folder, 'var/lib/commits')];
  writeArchive(archive, { 'web/stable': { motd: 'hi\n' }, 'web/testing': { motd: 'hello\n' } });
  for (const name of ['objects', 'tmp', 'refs/heads']) mkdirSync(join(folder, 'srv/bare', name), { recursive: true });
  writeFileSync(join(folder, 'srv/bare/config'), '[core]\nrepo_version=1\nmode=bare-user-only\n');
  mkdirSync(join(folder, 'srv/update'));
  writeInlineDelta(join(folder, 'srv/update/superblock'), 2, 100);
  initRepository(path, { insecure: true });
  using repository = await Repository.open(path, { write: true });
  await using from = openOstreeRepository(archive);
  await pullCommit(repository, from, 'web/stable');
}

/** A recorded delta, and in a repository the image that it changes. */
async function makeDelta(folder: string, images: string): Promise<void> {
  const recorded = mkdtempSync(join(folder, 'recorded-'));
  execFileSync('tar', ['-C', recorded, '-xf', '-'], { input: fixture('delta/ops/source.tar') });
  renameSync(join(recorded, 'd/adddata'), join(folder, 'delta'));
  using repository = await Repository.open(images, { write: true });
  await using base = await openSource(`oci:${join(recorded, 'base')}`);
  await pullImage(repository, base, { name: 'base' });
  rmSync(recorded, { recursive: true });
}

describe('examples', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cfsbridge-examples-'));
  const all = [...sourceExamples(), ...pageExamples()];
  before(() => makeWorld(join(folder, 'world')));
  after(() => rmSync(folder, { recursive: true }));

  let programs: string[] = [];
  /** Below the programs, so that what a program starts finds the package, too. */
  const homeOf = (number: number): string => join(folder, 'programs', `${number}`);

  test('they compile, with nothing set up but the package', () => {
    const there = all.map((example, number) => ({ ...example, code: moved(example.code, homeOf(number)) }));
    programs = compileExamples(join(folder, 'programs'), there);
  });

  for (const [number, example] of all.entries())
    test(example.title, { skip: NOT_RUN[example.title] || false, timeout: 30_000 }, async (t) => {
      assert.ok(programs[number] !== undefined, 'it was not compiled');
      const home = homeOf(number);
      cpSync(join(folder, 'world'), home, { recursive: true, verbatimSymlinks: true });
      if (example.code.includes('/srv/delta')) await makeDelta(join(home, 'srv'), join(home, 'var/lib/images'));
      const { status, printed, complaints } = await run(t, example, home, programs[number]);
      assert.equal(status, 0, complaints);
      const promised = promisedOutput(example);
      if (promised !== undefined) assert.match(printed, promised);
      if (example.output !== undefined) assert.equal(complaints, '');
    });

  test('every program about sockets that pass descriptors is followed by what it prints', () => {
    const programs = pageExamples().filter(({ title }) => title.startsWith('docs/fd-passing.md'));
    assert.ok(programs.length > 0);
    for (const { title, output } of programs) assert.ok(output !== undefined, title);
  });

  test('no example is left out for a reason that is none any more', () =>
    assert.deepEqual(
      Object.keys(NOT_RUN).filter((title) => !all.some((example) => example.title === title)),
      [],
    ));

  test('every function has an example, every class is in one', () => {
    const examples = sourceExamples();
    const own = new Set(examples.map(({ title }) => title.split(', ')[1] ?? ''));
    const shown = new Set(
      examples.flatMap(({ code }) =>
        [...code.matchAll(/import \{([^}]*)\}/g)].flatMap(([, names = '']) => names.split(/, |\s+/)),
      ),
    );
    const values = Object.entries({ ...library, ...fdPassing }).filter(
      ([, value]) => typeof value === 'function' && !(value.prototype instanceof Error),
    );
    const without = values.map(([name]) => name).filter((name) => !own.has(name) && !MADE_BY_OTHERS.has(name));
    assert.ok(values.length > 50);
    assert.deepEqual(
      without.filter((name) => !SHOWN_BY_OTHERS.has(name)),
      [],
    );
    assert.deepEqual(
      [...SHOWN_BY_OTHERS].filter((name) => !shown.has(name)),
      [],
    );
  });
});

/** The same program below a folder: what it names is there. */
function moved(code: string, folder: string): string {
  return code.replace(/(?<=['"`:@+])\/(?=(?:var\/lib|srv|run|mnt)\b)/g, `${folder}/`);
}

async function run(
  t: TestContext,
  { code }: Example,
  folder: string,
  program: string,
): Promise<{ status: number | null; printed: string; complaints: string }> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: join(folder, 'home'),
    CONTAINERS_STORAGE_ROOT: join(folder, 'var/lib/containers/storage'),
  };
  delete env['XDG_CONFIG_HOME'];
  if (code.includes('registry.example.org')) env['CONTAINERS_REGISTRIES_CONF'] = await registryFor(t, folder);
  await using _ = code.includes('.sock') ? await serversFor(folder) : undefined;
  // A mount goes with its namespace.
  const command = [...(code.includes('attachMount') ? ['unshare', '-m'] : []), process.execPath, program];
  const child = spawn(command[0] ?? '', command.slice(1), { cwd: folder, env, stdio: 'pipe' });
  t.after(() => child.kill());
  let [printed, complaints] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (printed += data.toString()));
  child.stderr.on('data', (data: Buffer) => (complaints += data.toString()));
  const ended = once(child, 'close') as Promise<[number | null]>;
  if (code.includes('/run/images.sock')) {
    await visit(child, folder, code.includes('Varlink'));
    if (code.includes('SIGTERM')) child.kill('SIGTERM');
  }
  const [status] = await ended;
  return { status, printed, complaints };
}

/** A client of a server that an example is. */
async function visit(child: ChildProcess, folder: string, varlink: boolean): Promise<void> {
  const socket = join(folder, 'run/images.sock');
  while (child.exitCode === null) {
    try {
      if (varlink) await (await RemoteRepository.connect(socket, join(folder, 'var/lib/images'))).close();
      else assert.ok((await listSplitfdstreamImages(socket)).length > 0);
      return;
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ECONNREFUSED')) throw error;
      await setTimeout(20);
    }
  }
}

/** What examples find behind sockets. */
async function serversFor(folder: string): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const store = Store.open({ graphroot: join(folder, 'var/lib/containers/storage') });
  const { signal } = stop;
  const served = [
    serveStore(store, await listen(join(folder, 'run/store.sock')), { signal }),
    serveVarlinkRepositories(await listen(join(folder, 'run/repositories.sock')), { signal }),
  ];
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(served);
      store.close();
    },
  };
}

/** @returns a registries.conf in which a registry with the image of the layout has the name that examples use */
async function registryFor(t: TestContext, folder: string): Promise<string> {
  const registry = await scriptedRegistry(t);
  const layout = join(folder, 'srv/layout');
  const blobs = join(layout, 'blobs/sha256');
  for (const name of readdirSync(blobs)) registry.addBlob(readFileSync(join(blobs, name)));
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  for (const { digest } of manifests)
    registry.addManifest(readFileSync(join(blobs, digest.slice('sha256:'.length))), '1');
  const path = join(folder, 'registries.conf');
  const location = new URL(registry.origin).host;
  writeFileSync(path, `[[registry]]\nprefix = "registry.example.org"\nlocation = "${location}"\ninsecure = true\n`);
  return path;
}
