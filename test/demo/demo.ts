// make demo: the main job on real input. A containers-storage that buildah and skopeo made is served on a Unix socket
// by one process and pulled into a new repository by another, image by image.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { table } from '../../src/cli/table.js';
import { addStats, describeBytes } from '../../src/oci/pull/stats.js';
import { openSocketImage, pullImage, Repository } from '../../src/index.js';
import { listSplitfdstreamImages } from '../../src/oci/source/splitfdstream.js';
import { unpackSmallStore } from '../support/images/small-store.js';

const cfsbridge = fileURLToPath(new URL('../../../bin/cfsbridge', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'cfsbridge-demo-'));
const socket = join(work, 'store.sock');
const repository = join(work, 'repository');

/** Runs our command and shows it; what it prints goes to the terminal. */
function command(...args: string[]): void {
  console.log(`\n$ cfsbridge ${args.join(' ')}`);
  const { status } = spawnSync(cfsbridge, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`it ended with status ${status}`);
}

async function startServer(graphroot: string): Promise<ChildProcess> {
  const args = ['serve', '--root', graphroot, '--socket', socket];
  console.log(`\n$ cfsbridge ${args.join(' ')} &`);
  const server = spawn(cfsbridge, args, { stdio: ['ignore', 'inherit', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    server.stderr?.once('data', (line: Buffer) => {
      process.stdout.write(line);
      resolve();
    });
    server.once('exit', (status) => reject(new Error(`the server ended with status ${status}`)));
  });
  return server;
}

async function pullAll(): Promise<string> {
  const rows: string[][] = [];
  let last = '';
  using target = await Repository.open(repository, { write: true });
  for (const { id, names } of await listSplitfdstreamImages(socket)) {
    const [name = id.slice(0, 12)] = names;
    const started = performance.now();
    await using source = await openSocketImage(socket, id);
    const result = await pullImage(target, source, { name });
    const seconds = (performance.now() - started) / 1000;
    const stats = addStats(result.layers);
    const image = result.images.values().next().value ?? '';
    const counts = [
      stats.entries,
      stats.files,
      describeBytes(stats.tarBytes),
      stats.reflinked,
      stats.hardlinked,
      stats.copied,
      stats.inlined,
      stats.present,
    ];
    rows.push([
      name,
      `${result.layers.length} (${result.layers.filter(({ stats: own }) => own).length} new)`,
      ...counts.map(String),
      seconds.toFixed(3),
      image.slice(0, 12),
    ]);
    last = names.includes('localhost/alpha:v3') ? image : last;
  }
  const head = [
    'IMAGE',
    'LAYERS',
    'ENTRIES',
    'FILES',
    'BYTES',
    'REFLINKED',
    'HARDLINKED',
    'COPIED',
    'INLINED',
    'ALREADY THERE',
    'SECONDS',
    'IMAGE ID',
  ];
  console.log(
    `\n$ cfsbridge oci pull --socket ${socket} …   (every image of the store; counts are of layers that were new)`,
  );
  console.log(table(head, rows));
  return last;
}

function tryMount(image: string): void {
  const mountpoint = join(work, 'mnt');
  mkdirSync(mountpoint);
  console.log(`\n$ cfsbridge --repo ${repository} mount ${image.slice(0, 12)}… ${mountpoint}`);
  const { status, stderr } = spawnSync(cfsbridge, ['--repo', repository, 'mount', image, mountpoint], {
    encoding: 'utf8',
  });
  if (status !== 0) {
    console.log(`not mounted: ${stderr.trim().split('\n').join(' ')}`);
    return;
  }
  try {
    console.log(`$ ls ${mountpoint}/usr\n${readdirSync(join(mountpoint, 'usr')).join('  ')}`);
  } finally {
    spawnSync('umount', [mountpoint], { stdio: 'inherit' });
  }
}

console.log('Unpacking a containers-storage that buildah and skopeo made.');
const store = unpackSmallStore();
let server: ChildProcess | undefined;
try {
  server = await startServer(store.graphroot);
  command('--repo', repository, 'init', '--insecure');
  const image = await pullAll();
  command('--repo', repository, 'fsck');
  tryMount(image);
  console.log(`
The same with the images podman has on this machine:

  $ sudo cfsbridge --repo /var/lib/images init --insecure
  $ sudo cfsbridge --repo /var/lib/images oci pull containers-storage:docker.io/library/debian:12 debian
  $ sudo cfsbridge --repo /var/lib/images oci mount debian /mnt

or, with the store on the other side of a socket:

  $ sudo cfsbridge serve --socket /run/cfsbridge.sock &
  $ sudo cfsbridge --repo /var/lib/images oci pull --socket /run/cfsbridge.sock docker.io/library/debian:12 debian

cfsbridge is ${cfsbridge} in this checkout. Without root, put \`podman unshare\` in front.`);
} finally {
  server?.removeAllListeners('exit');
  server?.kill();
  store.remove();
  rmSync(work, { recursive: true, force: true });
}
