import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import type { StoreOptions } from '../../../src/storage/store.js';
import { layerSettings } from '../../../src/storage/write/settings.js';

const store = (more: Partial<StoreOptions>): StoreOptions => ({ graphroot: '/g', driver: 'overlay', ...more });
const options = (...driverOptions: string[]): StoreOptions => store({ writing: { driverOptions } });

for (const [what, given, expected] of [
  ['nothing is said', store({}), {}],
  ['force_mask is private', options('overlay.force_mask=private'), { forceMask: 0o700 }],
  ['force_mask is shared', options('overlay2.force_mask=shared'), { forceMask: 0o755 }],
  ['force_mask is a mode', options('force_mask=0751'), { forceMask: 0o751 }],
  ['a program mounts', options('overlay.mount_program=/usr/bin/fuse-overlayfs'), { plainWhiteouts: true }],
  ['a program is empty', options('overlay.mount_program='), {}],
  ['options are another driver’s', options('vfs.ignore_chown_errors=true', 'btrfs.size=1G'), {}],
  [
    'options do not matter for layers',
    options('overlay.mountopt=nodev,metacopy=on', 'overlay.skip_mount_home=true', 'overlay.sync=filesystem'),
    {},
  ],
  ['options are switched off', options('overlay.use_composefs=false', 'overlay.ignore_chown_errors=0'), {}],
  ['there are additional stores', { ...options('overlay.imagestore=/other'), additionalStores: ['/other'] }, {}],
] as const)
  test(`where ${what}, layers are written as podman would`, () => {
    assert.deepEqual(layerSettings(given), { forceMask: undefined, plainWhiteouts: false, ...expected });
  });

for (const [what, given, code, said] of [
  ['another driver', store({ driver: 'vfs' }), 'UNKNOWN_DRIVER', 'vfs'],
  ['a store of images apart', store({ imagestore: '/images' }), 'STORE_UNSUPPORTED', 'imagestore'],
  ['an additional store', store({ additionalStores: ['/g'] }), 'STORE_UNSUPPORTED', 'additional'],
  ['a transient store', store({ writing: { transient: true } }), 'STORE_UNSUPPORTED', 'transient_store'],
  ['mapped ids', store({ writing: { otherOptions: ['remap-uids'] } }), 'STORE_UNSUPPORTED', 'remap-uids'],
  ['a quota', options('overlay.size=10G'), 'STORE_UNSUPPORTED', 'quota'],
  ['a quota of files', options('overlay.inodes=1000'), 'STORE_UNSUPPORTED', 'quota'],
  ['layers for composefs', options('overlay.use_composefs=true'), 'STORE_UNSUPPORTED', 'use_composefs'],
  ['one owner for all', options('overlay.ignore_chown_errors=true'), 'STORE_UNSUPPORTED', 'ignore_chown_errors'],
  ['an option nobody knows', options('overlay.not_yet=1'), 'STORE_UNSUPPORTED', 'not_yet'],
  ['a mask that is none', options('overlay.force_mask=rwx'), 'STORE_UNSUPPORTED', 'rwx'],
] as const)
  test(`${what}: the store is refused, with the reason`, () => {
    assert.throws(
      () => layerSettings(given),
      (error) => error instanceof BridgeError && error.code === code && error.message.includes(said),
    );
  });
