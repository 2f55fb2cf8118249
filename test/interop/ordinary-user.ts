import { run } from './peers.js';
import { program } from './processes.js';

/** A user without any privilege, and without a home or groups. */
export const USER = 65534;
/** Runs a command as that user. */
export const asUser = [
  // Root's home cannot be looked into.
  'env',
  '--unset=HOME',
  'setpriv',
  `--reuid=${USER}`,
  `--regid=${USER}`,
  '--clear-groups',
  '--inh-caps=-all',
  'prlimit',
  '--nofile=1024:1024',
];

/** Why tests with that user cannot run, or false. */
export function whyNoUser(): string | false {
  const [command = '', ...options] = asUser;
  return run(command, [...options, 'test', '-r', program('pull')]).status === 0
    ? false
    : 'this checkout is in a folder that other users cannot read';
}
