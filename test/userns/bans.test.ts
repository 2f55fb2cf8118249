// The settings are faked by a folder of files: the real ones are those of the whole machine, and most kernels have only
// some of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { userNamespaceBan } from '../../src/userns/bans.js';
import { scratch } from '../support/scratch.js';

const APPARMOR = 'kernel/apparmor_restrict_unprivileged_userns';
const CLONE = 'kernel/unprivileged_userns_clone';
const MOST = 'user/max_user_namespaces';

const cases: [what: string, settings: Record<string, string>, says: RegExp | undefined][] = [
  ['a kernel without these settings', {}, undefined],
  ['all is allowed', { [APPARMOR]: '0\n', [CLONE]: '1\n', [MOST]: '96365\n' }, undefined],
  [
    'AppArmor of Ubuntu',
    { [APPARMOR]: '1\n' },
    /^kernel\.apparmor_restrict_unprivileged_userns is 1: .*podman unshare/,
  ],
  ['kernels of Debian before 11', { [CLONE]: '0\n' }, /^kernel\.unprivileged_userns_clone is 0: /],
  ['no namespaces at all', { [MOST]: '0\n' }, /^user\.max_user_namespaces is 0: /],
  [
    'two at once',
    { [CLONE]: '0\n', [MOST]: '0\n' },
    /unprivileged_userns_clone is 0: .*; user\.max_user_namespaces is 0: /,
  ],
];

for (const [what, settings, says] of cases)
  test(what, (t) => {
    const ban = userNamespaceBan(scratch(t, settings));
    if (says === undefined) assert.equal(ban, undefined);
    else assert.match(ban ?? '', says);
  });
