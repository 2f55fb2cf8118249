import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fromFd, socketpair } from '../../src/fd/fd-passing.js';

/** The process's open descriptors and what they refer to, without the one that lists them. */
export function openFds(): Map<number, string> {
  const result = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      result.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // the descriptor of the listing itself
    }
  }
  return result;
}

/**
 * Runs `body` and throws unless every descriptor it opened is closed soon after: a peer in this process has to hear
 * first that it is alone.
 */
export async function withoutLeak<T>(body: () => Promise<T>): Promise<T> {
  await startPoller();
  const before = openFds();
  const result = await body();
  let leaked: [number, string][] = [];
  for (let wait = 0; wait < 2000; wait += 20) {
    await setTimeout(wait === 0 ? 0 : 20);
    leaked = [...openFds()].filter(([fd, target]) => before.get(fd) !== target && !FAN_OUT.test(target));
    if (leaked.length === 0) return result;
  }
  throw new Error(`leaked ${leaked.map(([fd, target]) => `${fd} → ${target}`).join(', ')}`);
}

/** A store keeps the folders of its objects open, from when each is first needed, as long as it is open itself. */
const FAN_OUT = /\/objects\/[0-9a-f]{2}$/;

let poller: Promise<void> | undefined;

/** The epoll thread's two descriptors live as long as the process. */
async function startPoller(): Promise<void> {
  poller ??= (async () => {
    const [one, other] = socketpair();
    other.close();
    using connection = fromFd(one);
    await connection.receive();
  })();
  await poller;
}
