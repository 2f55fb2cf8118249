import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** Where to put repositories that many small pulls go into: each syncs, and a busy disk takes its time for that. */
export const fastFolder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
