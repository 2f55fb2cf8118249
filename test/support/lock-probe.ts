// Podman's kind of writer, by a program that is not ours: lockf of python3 is fcntl(F_SETLK) on the whole file.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const lockOf = (graphroot: string): string => join(graphroot, 'overlay-layers/layers.lock');
const OPEN = 'import fcntl, sys\nlock = open(sys.argv[1], "r+b")\n';

/** Whether a writer could change the layers of the store at this moment. */
export function writerFinds(graphroot: string): 'free' | 'busy' {
  const script =
    `${OPEN}try:\n  fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n  print("free")\nexcept OSError:\n  ` +
    'print("busy")\n';
  return spawnSync('python3', ['-c', script, lockOf(graphroot)], { encoding: 'utf8' }).stdout.trim() as 'free' | 'busy';
}

/** A writer that waits for its turn; `got` resolves when it has the lock, which it then gives back. */
export async function waitingWriter(graphroot: string): Promise<{ child: ChildProcess; got: Promise<unknown> }> {
  const script = `${OPEN}print("waits", flush=True)\nfcntl.lockf(lock, fcntl.LOCK_EX)\n`;
  const child = spawn('python3', ['-c', script, lockOf(graphroot)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const got = once(child, 'close');
  await once(child.stdout!, 'data');
  return { child, got };
}

/** Waits, letting a server in this process run, until a writer would find the store free. */
export async function eventuallyFree(graphroot: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; writerFinds(graphroot) === 'busy'; await sleep(50)) {
    assert.ok(performance.now() < deadline, 'the layers of the store stay locked');
  }
}

/** Locks a file for writing, as another process. @returns what gives the lock back */
export async function holdLock(path: string): Promise<() => Promise<void>> {
  const script = `${OPEN}fcntl.lockf(lock, fcntl.LOCK_EX)\nprint("locked", flush=True)\nsys.stdin.read()\n`;
  const holder = spawn('python3', ['-c', script, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(holder, 'exit');
  await once(holder.stdout, 'data');
  return async () => {
    holder.stdin.end();
    await ended;
  };
}
