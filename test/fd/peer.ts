// The other end, as a process of its own: `node peer.js TASK SOCKET [ARGUMENT]`.
import { openSync } from 'node:fs';
import { connect, Fd, SocketError } from '../../src/fd/fd-passing.js';
import { openFds } from '../support/open-fds.js';

const [task, path, argument] = process.argv.slice(2) as [string, string, string?];

async function flood(total: number, user?: number): Promise<void> {
  const connection = await connect(path);
  if (user !== undefined) process.setuid!(user);
  using file = new Fd(openSync('/dev/null', 'r'));
  const batch = new Array<Fd>(250).fill(file);
  for (let sent = 0; sent < total; sent += batch.length)
    await connection.send(Buffer.from([(sent / 250) & 255]), batch);
  connection.close();
}

function devNulls(): number {
  return [...openFds().values()].filter((target) => target === '/dev/null').length;
}

/**
 * Answers with what the receive ended with and how many descriptors were left open by it; the sender sends /dev/null.
 */
async function receiveOnce(): Promise<void> {
  using connection = await connect(path);
  await connection.send(Buffer.from('ready'));
  const before = devNulls();
  let outcome = 'nothing';
  try {
    const segment = await connection.receive();
    outcome = `${segment?.fds.length} fds`;
  } catch (error) {
    outcome = error instanceof SocketError ? error.code : String(error);
  }
  using answer = await connect(path);
  await answer.send(Buffer.from(`${outcome} ${devNulls() - before}`));
}

async function vanish(bytes: number): Promise<void> {
  const connection = await connect(path);
  using file = new Fd(openSync('/dev/null', 'r'));
  if (bytes > 0) await connection.send(Buffer.alloc(bytes, 'x'), [file]);
  process.kill(process.pid, 'SIGKILL');
}

async function echo(): Promise<void> {
  using connection = await connect(path);
  for await (const { bytes, fds } of connection) {
    await connection.send(bytes, fds);
    for (const fd of fds) fd.close();
  }
}

const tasks: Record<string, () => Promise<void>> = {
  flood: () => flood(Number(argument)),
  floodAsNobody: () => flood(Number(argument), 65534),
  receiveOnce,
  vanish: () => vanish(Number(argument)),
  echo,
};
await tasks[task]!();
