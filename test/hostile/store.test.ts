// A stranger's store in root's hands: what only root can read must not come out of it.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { makeStore } from '../support/images/made-store.js';
import { asAttacker, ATTACKER, attack, whyNoAttacker } from './attack.js';

const skip = whyNoAttacker();
const SECRET = `the secret that only root may read ${'.'.repeat(200)}`;
const DECOY = 'x'.repeat(SECRET.length);

let folder: string;
before(() => {
  if (skip) return;
  folder = mkdtempSync('/var/tmp/hostile-store-');
  chmodSync(folder, 0o755);
});
after(() => {
  if (!skip) rmSync(folder, { recursive: true, force: true });
});

interface Case {
  /** the attacker's graph root, to be given to root's command */
  graphroot: string;
  overlay: string;
  layer: string;
  diff: string;
  /** a folder of root's that nobody else may enter */
  secrets: string;
}

/** A store of the attacker with one image `bait`, whose layer says it has the files usr/, usr/file and usr/other. */
function newCase(name: string): Case {
  const home = join(folder, name);
  const graphroot = join(home, 'store');
  makeStore(graphroot, [
    {
      name: 'localhost/bait:latest',
      layers: [
        {
          entries: [
            { name: 'usr/', type: '5', mode: 0o755 },
            { name: 'usr/file', content: Buffer.from(DECOY) },
            { name: 'usr/other', content: Buffer.from(DECOY) },
          ],
        },
      ],
    },
  ]);
  const overlay = join(graphroot, 'overlay');
  const layer = join(overlay, readdirSync(overlay).find((id) => id !== 'l') as string);
  const secrets = join(folder, `${name}-secrets`);
  mkdirSync(secrets, { mode: 0o700 });
  giveAway(home);
  return { graphroot, overlay, layer, diff: join(layer, 'diff'), secrets };
}

function giveAway(path: string): void {
  assert.equal(spawnSync('chown', ['-R', '-h', `${ATTACKER}:${ATTACKER}`, path]).status, 0);
}

/** Root's files where the attacker's symlink leads. */
function plant(dir: string): void {
  mkdirSync(join(dir, 'usr'), { recursive: true });
  for (const file of ['file', 'other']) writeFileSync(join(dir, 'usr', file), SECRET, { mode: 0o600 });
}

function replaceByLink(path: string, target: string): void {
  rmSync(path, { recursive: true });
  symlinkSync(target, path);
  lchownSync(path, ATTACKER, ATTACKER);
}

function secretsIn(path: string): string[] {
  const { stdout } = spawnSync('grep', ['-rlF', 'the secret that only root', path], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line !== '');
}

interface Got {
  stderr: string;
  secrets: string[];
}

/** Root pulls out of the attacker's store, into a repository that others may enter. */
function rootPulls(name: string, reference: string): Got & { status: number | null } {
  const repository = join(folder, `${name}-repository`);
  assert.equal(runCli(['init', '--insecure', repository]).status, 0);
  const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', '--allow-unverified', reference, 'bait']);
  return { status, stderr, secrets: secretsIn(repository) };
}

/** Root serves the attacker's store, and the attacker pulls from the server. */
async function rootServes(name: string, graphroot: string): Promise<Got> {
  const socket = join(folder, `${name}.sock`);
  const server = spawn(process.execPath, [cfsbridge, 'serve', '--socket', socket, '--root', graphroot]);
  const ended = once(server, 'exit');
  const said: string[] = [];
  server.stderr.on('data', (text) => said.push(String(text)));
  let secrets: string[] = [];
  for (let tries = 0; tries < 200 && !existsSync(socket) && server.exitCode === null; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  if (server.exitCode === null) {
    chmodSync(socket, 0o777);
    const repository = join(folder, `${name}-theirs`);
    assert.equal(runCli(['init', '--insecure', repository]).status, 0);
    giveAway(repository);
    const [program = '', ...options] = asAttacker;
    const pull = spawnSync(
      program,
      [
        ...options,
        process.execPath,
        cfsbridge,
        '--repo',
        repository,
        'oci',
        'pull',
        '--allow-unverified',
        '--socket',
        socket,
        'localhost/bait:latest',
        'bait',
      ],
      { encoding: 'utf8' },
    );
    said.push(pull.stderr);
    secrets = secretsIn(repository);
  }
  server.kill('SIGTERM');
  await ended;
  return { stderr: said.join(''), secrets };
}

const tricks: [what: string, prepare: (made: Case) => void, refused: RegExp][] = [
  [
    '`overlay` as a symlink into a folder of root',
    ({ overlay, layer, secrets }) => {
      plant(join(secrets, layer.slice(overlay.length), 'diff'));
      replaceByLink(overlay, secrets);
    },
    /FOREIGN_SYMLINK|is a symlink of user 12345/,
  ],
  [
    '`vfs/dir` as a symlink into a folder of root',
    ({ graphroot, overlay, layer, secrets }) => {
      plant(join(secrets, layer.slice(overlay.length)));
      for (const part of ['layers', 'images']) renameSync(`${overlay}-${part}`, join(graphroot, `vfs-${part}`));
      rmSync(overlay, { recursive: true });
      mkdirSync(join(graphroot, 'vfs'));
      symlinkSync(secrets, join(graphroot, 'vfs/dir'));
      giveAway(join(graphroot, 'vfs'));
    },
    /is a symlink of user 12345/,
  ],
  [
    '`diff` as a symlink into a folder of root, beside a file `additionallayer`',
    ({ layer, diff, secrets }) => {
      plant(secrets);
      writeFileSync(join(layer, 'additionallayer'), '');
      replaceByLink(diff, secrets);
      giveAway(layer);
    },
    /is a symlink of user 12345/,
  ],
  [
    "the store itself as a symlink to root's store",
    ({ graphroot, secrets }) => {
      const real = join(secrets, 'store');
      renameSync(graphroot, real);
      plantInPlace(join(real, 'overlay'));
      symlinkSync(real, graphroot);
      lchownSync(graphroot, ATTACKER, ATTACKER);
      assert.equal(spawnSync('chown', ['-R', '0:0', real]).status, 0);
    },
    /is a symlink of user 12345/,
  ],
  [
    'a file of root that the attacker moved into a layer',
    ({ diff }) => moveIn(join(diff, 'usr/file'), 0o600),
    /belongs to user 0 and not to user 12345/,
  ],
  [
    'a readable file of root below a folder that only root may enter, moved into a layer',
    ({ diff }) => {
      moveIn(join(diff, 'usr/file'), 0o644);
      lchownSync(join(diff, 'usr'), 0, 0);
      chmodSync(join(diff, 'usr'), 0o700);
    },
    /belongs to user 0 .* search the folders above it/,
  ],
  [
    'a layer in a folder that only root may enter, moved into the store',
    ({ layer, diff }) => {
      moveIn(join(diff, 'usr/file'), 0o644);
      lchownSync(layer, 0, 0);
      chmodSync(layer, 0o700);
    },
    /belongs to user 0 .* search it/,
  ],
  [
    "a store in root's folder that the attacker filled",
    ({ graphroot, diff }) => {
      moveIn(join(diff, 'usr/file'), 0o600);
      lchownSync(graphroot, 0, 0);
      lchownSync(join(graphroot, 'overlay-layers'), 0, 0);
      chmodSync(graphroot, 0o777);
    },
    /belongs to user 0 and not to user 12345/,
  ],
  [
    'a file of root as the config of an image',
    ({ graphroot }) => {
      const images = join(graphroot, 'overlay-images');
      const image = join(images, readdirSync(images).find((name) => !name.includes('.')) as string);
      const config = join(
        image,
        readdirSync(image).find((name) =>
          Buffer.from(name.slice(1), 'base64').toString().startsWith('sha256:'),
        ) as string,
      );
      lchownSync(config, 0, 0);
      chmodSync(config, 0o600);
    },
    /belongs to user 0 and not to user 12345/,
  ],
];

function moveIn(path: string, mode: number): void {
  writeFileSync(path, SECRET);
  lchownSync(path, 0, 0);
  chmodSync(path, mode);
}

function plantInPlace(overlay: string): void {
  for (const id of readdirSync(overlay))
    if (id !== 'l')
      for (const file of ['file', 'other']) writeFileSync(join(overlay, id, 'diff/usr', file), SECRET, { mode: 0o600 });
}

for (const [index, [what, prepare, refused]] of tricks.entries()) {
  attack(`${what}, root pulls`, { skip }, () => {
    const made = newCase(`pull-${index}`);
    prepare(made);
    const { status, stderr, secrets } = rootPulls(
      `pull-${index}`,
      `containers-storage:[@${made.graphroot}]localhost/bait:latest`,
    );
    assert.deepEqual(secrets, []);
    assert.equal(status, 1, stderr);
    assert.match(stderr, refused);
    return 'refused, nothing in the repository';
  });

  attack(`${what}, root serves`, { skip }, async () => {
    const made = newCase(`serve-${index}`);
    prepare(made);
    const { stderr, secrets } = await rootServes(`serve-${index}`, made.graphroot);
    assert.deepEqual(secrets, []);
    assert.match(stderr, refused);
    return 'refused, nothing reaches the client';
  });
}

attack('an additional store whose `overlay` is a symlink into a folder of root, root pulls', { skip }, () => {
  const made = newCase('additional');
  plant(join(made.secrets, made.layer.slice(made.overlay.length), 'diff'));
  replaceByLink(made.overlay, made.secrets);
  const own = join(folder, 'own-store');
  makeStore(own, []);
  const { status, stderr, secrets } = rootPulls(
    'additional',
    `containers-storage:[overlay@${own}+${own}:overlay.imagestore=${made.graphroot}]localhost/bait:latest`,
  );
  assert.deepEqual(secrets, []);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /is a symlink of user 12345/);
  return 'refused, nothing in the repository';
});

attack('a fifo in place of layers.lock, root pulls', { skip }, () => {
  const { graphroot } = newCase('fifo');
  const lock = join(graphroot, 'overlay-layers/layers.lock');
  rmSync(lock);
  assert.equal(spawnSync('mkfifo', [lock]).status, 0);
  const repository = join(folder, 'fifo-repository');
  assert.equal(runCli(['init', '--insecure', repository]).status, 0);
  const { status, stderr } = spawnSync(
    process.execPath,
    [cfsbridge, '--repo', repository, 'oci', 'pull', `containers-storage:[@${graphroot}]localhost/bait:latest`, 'bait'],
    { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' },
  );
  assert.equal(status, 1, `it waits: ${stderr}`);
  assert.match(stderr, /layers\.lock is not a regular file/);
  return 'refused at once';
});

test("what the store's owner can read comes out of it: own files, files of all, files of the subuid range", {
  skip,
}, async () => {
  const { graphroot, diff } = newCase('good');
  lchownSync(join(diff, 'usr/file'), 0, 0);
  chmodSync(join(diff, 'usr/file'), 0o644);
  chmodSync(join(diff, 'usr/other'), 0o600);
  lchownSync(join(diff, 'usr/other'), 300_005, 300_005);
  const reference = `containers-storage:[@${graphroot}]localhost/bait:latest`;
  // Outside of the range it is a stranger's.
  const without = rootPulls('good-without', reference);
  assert.equal(without.status, 1);
  assert.match(without.stderr, /belongs to user 300005 and not to user 12345/);

  const subuid = join(folder, 'subuid');
  writeFileSync(subuid, `somebody:100000:65536\n${ATTACKER}:300000:65536\n`);
  const repository = join(folder, 'good-repository');
  assert.equal(runCli(['init', '--insecure', repository]).status, 0);
  const script = 'test -e /etc/subuid || : >/etc/subuid; mount --bind "$1" /etc/subuid && shift && exec "$@"';
  const pull = spawnSync(
    'unshare',
    [
      '-m',
      'sh',
      '-c',
      script,
      'sh',
      subuid,
      process.execPath,
      cfsbridge,
      '--repo',
      repository,
      'oci',
      'pull',
      reference,
      'bait',
    ],
    { encoding: 'utf8' },
  );
  assert.equal(pull.status, 0, pull.stderr);
  const found = spawnSync('grep', ['-rlF', DECOY, join(repository, 'objects')], { encoding: 'utf8' }).stdout.trim();
  assert.equal(readFileSync(found, 'utf8'), DECOY);
});

test('a symlink of root in a store of root is followed', { skip }, () => {
  const home = join(folder, 'linked');
  const graphroot = join(home, 'store');
  makeStore(graphroot, [
    {
      name: 'localhost/bait:latest',
      layers: [
        {
          entries: [
            { name: 'usr/', type: '5', mode: 0o755 },
            { name: 'usr/file', content: Buffer.from(DECOY) },
          ],
        },
      ],
    },
  ]);
  renameSync(join(graphroot, 'overlay'), join(home, 'elsewhere'));
  symlinkSync('../elsewhere', join(graphroot, 'overlay'));
  symlinkSync(graphroot, join(home, 'link'));
  const { status, stderr } = rootPulls('linked', `containers-storage:[@${join(home, 'link')}]localhost/bait:latest`);
  assert.equal(status, 0, stderr);
});
