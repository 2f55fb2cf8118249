import { readWhole } from './read-whole.js';
import { KERNEL_FILE_LIMIT } from '../limits.js';

const CAP_DAC_OVERRIDE = 1n;
const EVERY_ID = /^\s*0\s+0\s+4294967295\s*$/;

/**
 * Whether permissions of files do not matter to this process. In a user namespace the capability is worth nothing with
 * files of users who are not mapped, so there the answer is no.
 */
export function hasCapDacOverride(): boolean {
  const effective =
    /^CapEff:\s*([0-9a-f]+)$/m.exec(readWhole('/proc/self/status', KERNEL_FILE_LIMIT).toString('latin1'))?.[1] ?? '0';
  if (((BigInt(`0x${effective}`) >> CAP_DAC_OVERRIDE) & 1n) === 0n) return false;
  return knowsEveryId();
}

/** Whether IDs here are those of the machine: not so in a user namespace, whose root is an ordinary user outside. */
export function knowsEveryId(): boolean {
  return ['uid_map', 'gid_map'].every((map) =>
    EVERY_ID.test(readWhole(`/proc/self/${map}`, KERNEL_FILE_LIMIT).toString('latin1')),
  );
}
