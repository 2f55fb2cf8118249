import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { Surroundings } from '../../src/storage/containers-config.js';
import { ownSurroundings } from '../../src/storage/containers-config.js';
import { discoverStore } from '../../src/storage/discover.js';
import { parseImageReference } from '../../src/storage/reference.js';

let systemRoot: string;

beforeEach(() => {
  systemRoot = mkdtempSync(join(tmpdir(), 'storage-conf-'));
});

afterEach(() => rmSync(systemRoot, { recursive: true }));

function write(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(systemRoot, name)), { recursive: true });
    writeFileSync(join(systemRoot, name), text);
  }
}

/** Home directories lie in the temporary tree too, so that nothing of the machine is read. */
function as(uid: number, env: NodeJS.ProcessEnv = {}): Surroundings {
  return { env, uid, home: join(systemRoot, 'home'), systemRoot };
}

const graphroot = (path: string): string => `[storage]\ngraphroot = "${path}"\n`;

test('without configuration: the well-known places', () => {
  assert.equal(discoverStore(undefined, as(0)).graphroot, '/var/lib/containers/storage');
  assert.equal(discoverStore(undefined, as(1000)).graphroot, join(systemRoot, 'home/.local/share/containers/storage'));
  assert.equal(discoverStore(undefined, as(1000, { XDG_DATA_HOME: '/data' })).graphroot, '/data/containers/storage');
});

const MAIN: [why: string, uid: number, files: Record<string, string>, expected: string][] = [
  [
    'only the first main file counts',
    0,
    { 'etc/containers/storage.conf': '', 'usr/share/containers/storage.conf': graphroot('/usr') },
    '/var/lib/containers/storage',
  ],
  ['the vendor file when there is no other', 0, { 'usr/share/containers/storage.conf': graphroot('/usr') }, '/usr'],
  [
    "the user's file hides the system's, also for root",
    0,
    { 'home/.config/containers/storage.conf': graphroot('/own'), 'etc/containers/storage.conf': graphroot('/etc') },
    '/own',
  ],
  [
    'a drop-in beats the main file',
    0,
    {
      'home/.config/containers/storage.conf': graphroot('/own'),
      'usr/share/containers/storage.conf.d/1.conf': graphroot('/drop'),
    },
    '/drop',
  ],
  [
    'drop-ins apply in the order of names, not of directories',
    0,
    {
      'etc/containers/storage.conf.d/1.conf': graphroot('/etc'),
      'usr/share/containers/storage.conf.d/2.conf': graphroot('/usr'),
    },
    '/usr',
  ],
  [
    'of equal names the higher directory counts',
    0,
    {
      'etc/containers/storage.conf.d/1.conf': graphroot('/etc'),
      'usr/share/containers/storage.conf.d/1.conf': graphroot('/usr'),
    },
    '/etc',
  ],
  [
    'rootful drop-ins are for root',
    0,
    {
      'etc/containers/storage.rootful.conf.d/1.conf': graphroot('/rootful'),
      'etc/containers/storage.rootless.conf.d/2.conf': graphroot('/rootless'),
    },
    '/rootful',
  ],
  [
    'rootless drop-ins are for users',
    1000,
    {
      'etc/containers/storage.rootful.conf.d/2.conf': graphroot('/rootful'),
      'etc/containers/storage.rootless.conf.d/1.conf': graphroot('/rootless'),
    },
    '/rootless',
  ],
  [
    "one user's drop-ins beat those of all",
    1000,
    {
      'etc/containers/storage.rootless.conf.d/1000/1.conf': graphroot('/one'),
      'etc/containers/storage.rootless.conf.d/1.conf': graphroot('/all'),
    },
    '/one',
  ],
  [
    'other names are no drop-ins',
    0,
    { 'etc/containers/storage.conf.d/1.conf.bak': graphroot('/bak') },
    '/var/lib/containers/storage',
  ],
  [
    'rootless_storage_path is for users',
    1000,
    { 'etc/containers/storage.conf': '[storage]\nrootless_storage_path = "/stores/$UID"\n' },
    '/stores/1000',
  ],
  [
    'rootless_storage_path is not for root',
    0,
    { 'etc/containers/storage.conf': '[storage]\nrootless_storage_path = "/stores/$UID"\n' },
    '/var/lib/containers/storage',
  ],
  [
    "root's graph root in a shared file is not the user's",
    1000,
    { 'etc/containers/storage.conf': `${graphroot('/var/lib/containers/storage')}rootless_storage_path = "/mine"\n` },
    '/mine',
  ],
];

for (const [why, uid, files, expected] of MAIN) {
  test(why, () => {
    write(files);
    assert.equal(discoverStore(undefined, as(uid)).graphroot, expected);
  });
}

test('variables in paths', () => {
  write({ 'etc/containers/storage.conf': graphroot('$HOME/s/${WHERE}/$UID') });
  assert.equal(discoverStore(undefined, as(7, { WHERE: 'x' })).graphroot, join(systemRoot, 'home/s/x/7'));
});

test('CONTAINERS_STORAGE_CONF replaces main file and drop-ins, the override still comes last', () => {
  write({
    'etc/containers/storage.conf.d/1.conf': graphroot('/drop'),
    only: `${graphroot('/only')}driver = "vfs"\n`,
    over: graphroot('/over'),
  });
  const env = { CONTAINERS_STORAGE_CONF: join(systemRoot, 'only') };
  assert.equal(discoverStore(undefined, as(0, env)).graphroot, '/only');
  const both = discoverStore(undefined, as(0, { ...env, CONTAINERS_STORAGE_CONF_OVERRIDE: join(systemRoot, 'over') }));
  assert.deepEqual([both.graphroot, both.driver], ['/over', 'vfs']);
  assert.throws(() => discoverStore(undefined, as(0, { CONTAINERS_STORAGE_CONF: join(systemRoot, 'none') })), {
    code: 'NOT_FOUND',
  });
});

test('drivers: the environment wins, overlay2 is overlay, others cannot be read', () => {
  write({ 'etc/containers/storage.conf': '[storage]\ndriver = "overlay2"\n' });
  assert.equal(discoverStore(undefined, as(0)).driver, 'overlay');
  assert.equal(discoverStore(undefined, as(0, { STORAGE_DRIVER: 'vfs' })).driver, 'vfs');
  assert.throws(() => discoverStore(undefined, as(0, { STORAGE_DRIVER: 'btrfs' })), { code: 'UNKNOWN_DRIVER' });
});

test('additional stores: later files replace or append, STORAGE_OPTS replaces all', () => {
  const stores = (list: string): string => `[storage.options]\nadditionalimagestores = ${list}\n`;
  write({
    'etc/containers/storage.conf': stores('["/a"]'),
    'etc/containers/storage.conf.d/1.conf': stores('["/b", {append = true}]'),
  });
  assert.deepEqual(discoverStore(undefined, as(0)).additionalStores, ['/a', '/b']);
  write({ 'etc/containers/storage.conf.d/2.conf': stores('["/c"]') });
  assert.deepEqual(discoverStore(undefined, as(0)).additionalStores, ['/c']);
  const env = { STORAGE_OPTS: 'overlay.imagestore=/x,mountopt=nodev,additionalimagestore=/y' };
  assert.deepEqual(discoverStore(undefined, as(0, env)).additionalStores, ['/x', '/y']);
});

test('CONTAINERS_STORAGE_ROOT names the graph root', () => {
  assert.equal(discoverStore(undefined, as(0, { CONTAINERS_STORAGE_ROOT: '/r' })).graphroot, '/r');
});

test('a reference that names a graph root needs no configuration', () => {
  write({ 'etc/containers/storage.conf': 'not toml' });
  const { store } = parseImageReference('containers-storage:[vfs@/g+/run:imagestore=/a]name');
  assert.deepEqual(discoverStore(store, as(0)), {
    graphroot: '/g',
    driver: 'vfs',
    additionalStores: ['/a'],
    writing: { runroot: '/run', driverOptions: ['imagestore=/a'] },
  });
});

test('what matters to those who write is told as podman would take it', () => {
  write({
    'etc/containers/storage.conf': [
      '[storage]',
      'driver = "overlay"',
      'runroot = "/run/elsewhere"',
      'transient_store = true',
      '[storage.options]',
      'size = "1G"',
      '[storage.options.overlay]',
      'force_mask = "0700"',
    ].join('\n'),
  });
  assert.deepEqual(discoverStore(undefined, as(0)).writing, {
    runroot: '/run/elsewhere',
    driverOptions: ['overlay.force_mask=0700'],
    otherOptions: ['size'],
    transient: true,
  });
  assert.deepEqual(discoverStore(undefined, as(0, { STORAGE_OPTS: 'overlay.mountopt=nodev' })).writing?.driverOptions, [
    'overlay.mountopt=nodev',
  ]);
  assert.equal(
    discoverStore(undefined, as(1000, { XDG_RUNTIME_DIR: '/run/user/1000' })).writing?.runroot,
    '/run/elsewhere',
  );
});

test('broken configuration is refused by name', () => {
  write({ 'etc/containers/storage.conf': '[storage]\ndriver = 3\n' });
  assert.throws(() => discoverStore(undefined, as(0)), {
    code: 'BAD_CONFIG',
    message: /etc\/containers\/storage\.conf.*driver/,
  });
  write({ 'etc/containers/storage.conf': '[storage\n' });
  assert.throws(() => discoverStore(undefined, as(0)), { code: 'BAD_CONFIG' });
});

test('inside podman unshare the user is the one outside', () => {
  const env = { HOME: '/home/u', _CONTAINERS_USERNS_CONFIGURED: 'done', _CONTAINERS_ROOTLESS_UID: '1234' };
  assert.equal(ownSurroundings(env).uid, 1234);
});
