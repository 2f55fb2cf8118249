import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inPeers, peers, type SharedFolder } from './peers.js';
import { fileURLToPath } from 'node:url';

/** The registry's line for `CREDS`. */
export const HTPASSWD = 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';
export const CREDS = 'user:secret';
export const tlsFile = (name: string): string =>
  fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url));

export interface Server {
  child: ChildProcess;
  host: string;
}

/** Starts docker's registry in the Debian tree. */
export async function startRegistry(
  folder: SharedFolder,
  name: string,
  http: object = {},
  auth?: object,
): Promise<Server> {
  const config = {
    version: '0.1',
    log: { level: 'info' },
    storage: { filesystem: { rootdirectory: `${folder.inside}/${name}` } },
    http: { addr: '127.0.0.1:0', ...http },
    ...(auth && { auth }),
  };
  writeFileSync(join(folder.path, `${name}.yml`), JSON.stringify(config));
  // A pipe would fill, for nobody reads while this process waits for another program.
  const log = join(folder.path, `${name}.log`);
  const output = openSync(log, 'w');
  const child = spawn(inPeers, ['docker-registry', 'serve', `${folder.inside}/${name}.yml`], {
    env: { ...process.env, CFSBRIDGE_PEERS: peers },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  let host: string | undefined;
  for (let tries = 0; host === undefined; tries++) {
    assert.ok(tries < 600 && child.exitCode === null, `docker-registry does not start: ${readFileSync(log, 'utf8')}`);
    await sleep(50);
    host = /listening on (127\.0\.0\.1:\d+)/.exec(readFileSync(log, 'utf8'))?.[1];
  }
  return { child, host };
}
