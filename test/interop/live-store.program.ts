import { execFileSync } from 'node:child_process';
import { linkSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../src/fd/fd.js';
import { inPeers, peers } from './peers.js';
import { pullOverSocket, StoreServer } from './processes.js';
import { makeRepository, pullHere, pullReport, pullWithCfsctl } from './repositories.js';
import { filesBelow, snapshot } from './snapshot.js';

// live-store.program.js INSIDE: run in a mount namespace of its own. The folder INSIDE (below /share) has a store with
// the image `small`. Lets podman mount the image, pulls it in three ways while it is in use, and prints what became of
// both as JSON.

const [, , inside = ''] = process.argv;
const folder = join(peers, 'sid', inside);
const store = join(folder, 'store');
const podman = (...args: string[]): string => {
  const options = ['podman', '--root', `${inside}/store`, '--runroot', `${inside}/run`, '--storage-driver', 'overlay'];
  return execFileSync(inPeers, [...options, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 100_000,
  }).trim();
};

const mounted = join(peers, 'sid', podman('image', 'mount', 'small'));
const layer = filesBelow(join(store, 'overlay')).filter((path) => path.includes('/diff/'));
const before = snapshot(store);

function plainLink(): string {
  try {
    linkSync(join(store, 'overlay', layer[0] as string), join(folder, 'linked'));
  } catch (error) {
    return isErrno(error, 'EXDEV') ? 'EXDEV' : String(error);
  }
  return 'linked';
}

const link = plainLink();
const here = await pullHere(makeRepository(join(folder, 'here')), 'small', { name: 'small' }, store);
const socket = join(folder, 'socket');
const server = await StoreServer.start(socket, store);
const there = pullOverSocket(makeRepository(join(folder, 'there')), socket, 'small', 'small');
await server[Symbol.asyncDispose]();
const report = pullReport(pullWithCfsctl(makeRepository(join(folder, 'theirs')), 'small', 'small', store));

const after = snapshot(store);
const changed = Object.keys({ ...before, ...after }).filter(
  (path) => path.startsWith('overlay/') && before[path] !== after[path],
);
const shown = filesBelow(mounted).length;
podman('image', 'unmount', 'small');
const again = filesBelow(join(peers, 'sid', podman('image', 'mount', 'small'))).length;
podman('image', 'unmount', 'small');
podman('system', 'check');
process.stdout.write(
  JSON.stringify({
    link,
    here: here.layers[0]?.stats,
    there: there.layers[0]?.stats,
    cfsctl: report['objects'],
    changed,
    files: layer.length,
    shown,
    again,
    images: [[...here.images.values()], there.images],
  }),
);
