import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { peerCommand, type SharedFolder } from './peers.js';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * Starts the nginx of the Debian tree, which keeps connections; it ends with the test.
 * @param folder has `repo`; gets a log of the requests, `requests`
 * @returns the URL of `folder`/repo
 */
export async function startNginx(t: Pick<TestContext, 'after'>, folder: SharedFolder): Promise<string> {
  const port = await freePort();
  const { inside, path } = folder;
  // What is served is read by another user.
  chmodSync(path, 0o755);
  writeFileSync(
    join(path, 'nginx.conf'),
    `pid ${inside}/pid; error_log ${inside}/errors; events { } daemon off; worker_processes 1; user root;
http { access_log ${inside}/requests; keepalive_requests 100000;
server { listen 127.0.0.1:${port}; root ${inside}; } }`,
  );
  const [program, ...args] = peerCommand('sid', ['nginx', '-c', `${inside}/nginx.conf`]);
  const nginx = spawn(program!, args, { stdio: 'ignore' });
  const exited = once(nginx, 'exit');
  t.after(async () => {
    nginx.kill('SIGTERM');
    await exited;
  });
  const url = `http://127.0.0.1:${port}/repo`;
  for (let i = 0; i < 600; i++) {
    const answers = await fetch(`${url}/config`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answers) return url;
    await setTimeout(100);
  }
  throw new Error('nginx does not answer');
}

/** The paths of all requests so far that nginx has answered, in order. */
export function requestsTo({ path }: SharedFolder): string[] {
  const log = readFileSync(join(path, 'requests'), 'latin1');
  return [...log.matchAll(/"[A-Z]+ (\S+) HTTP/g)].map(([, requested]) => requested!);
}
