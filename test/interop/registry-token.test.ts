// Docker's registry with a service for tokens: pulls and pushes of ours and of skopeo.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startCli, type Ended } from '../support/cli/start-cli.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { startRegistry } from './docker-registry.js';
import { inPeers, peers, SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';
import { startTokenServer } from './token-server.js';

const CREDS = 'user:secret';
const IDENTITY = 'what a login left';
const tlsFile = (name: string): string => fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url));

/** The token server lives in this process, so that programs that ask it must not be waited for in one piece. */
async function inTree(...command: string[]): Promise<Ended> {
  const env = { ...process.env, CFSBRIDGE_PEERS: peers };
  const child = spawn(inPeers, command, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, ...said };
}

test('docker-registry with tokens', { skip: whyNoPeers() }, async (t) => {
  using folder = new SharedFolder();
  const signer = { certificate: tlsFile('server.crt'), key: tlsFile('server.key') };
  const tokens = await startTokenServer(t, signer, { creds: CREDS, identityToken: IDENTITY });
  copyFileSync(tlsFile('ca.crt'), join(folder.path, 'ca.crt'));
  const { child, host } = await startRegistry(folder, 'registry', {}, tokens.auth(`${folder.inside}/ca.crt`));
  t.after(() => child.kill());
  const repository = makeRepository(join(folder.path, 'repository'), 'sha256');
  const layout = new Layout(join(folder.path, 'layout'));
  const tars = [tarOf({ large: randomBytes(3 << 20) }), tarOf({ small: 'x' })];
  const image = layout.image(tars.map((tar) => ({ tar })));
  layout.publish({ it: image });

  const ours = (...args: string[]): Promise<Ended> => startCli(['--repo', repository, 'oci', ...args]).ended;
  async function succeeds(ended: Promise<Ended>): Promise<string> {
    const { status, stdout, stderr } = await ended;
    assert.equal(status, 0, stderr);
    return stdout;
  }
  async function refused(ended: Promise<Ended>): Promise<void> {
    const { status, stderr } = await ended;
    assert.equal(status, 1, stderr);
    assert.match(stderr, /status 401/);
  }
  const pull = (name: string, ...how: string[]): Promise<Ended> =>
    ours('pull', '--insecure-policy', '--tls-verify=false', ...how, `docker://${host}/${name}`, 'back');
  const push = (name: string, ...how: string[]): Promise<Ended> =>
    ours('push', '--tls-verify=false', ...how, 'it', `docker://${host}/${name}`);
  const digestBySkopeo = async (name: string): Promise<string> => {
    const how = ['--tls-verify=false', '--creds', CREDS, '--format', '{{.Digest}}'];
    return (await succeeds(inTree('skopeo', 'inspect', ...how, `docker://${host}/${name}`))).trim();
  };
  await succeeds(ours('pull', '--keep-blobs', `oci:${layout.path}:it`, 'it'));

  await t.test('nobody may push, nor a wrong password, nor pull what is not open', async () => {
    await refused(push('open/image:1', '--no-creds'));
    await refused(push('open/image:1', '--creds', 'user:wrong'));
    await refused(pull('closed/image:1', '--no-creds'));
    assert.ok(tokens.asked.includes('nobody repository:open/image:pull,push'), tokens.asked.join('\n'));
  });

  await t.test('a push with a password; skopeo finds the same image', async () => {
    for (const name of ['open/image:1', 'closed/image:1']) {
      assert.match(await succeeds(push(name, '--creds', CREDS)), new RegExp(`^manifest ${image.digest}$`, 'm'));
      assert.equal(await digestBySkopeo(name), image.digest);
    }
    // The second was taken over from the first, for which one token has to be for both.
    assert.ok(
      tokens.asked.some((asked) => /repository:closed\/image:pull,push/.test(asked) && /open\/image:pull/.test(asked)),
      tokens.asked.join('\n'),
    );
  });

  await t.test('pulls of what is open by nobody, of the rest with a password or what a login left', async () => {
    const authFile = join(folder.path, 'auth.json');
    writeFileSync(authFile, JSON.stringify({ auths: { [host]: { auth: '', identitytoken: IDENTITY } } }));
    for (const [name, ...how] of [
      ['open/image:1', '--no-creds'],
      ['closed/image:1', '--creds', CREDS],
      ['closed/image:1', '--authfile', authFile],
    ] as const)
      assert.match(await succeeds(pull(name, ...how)), new RegExp(`^manifest ${image.digest}$`, 'm'));
  });

  await t.test('what skopeo pushes is pulled', async () => {
    const from = `oci:${folder.inside}/layout:it`;
    const how = ['-q', '--preserve-digests', '--dest-tls-verify=false', '--dest-creds', CREDS];
    await succeeds(inTree('skopeo', '--insecure-policy', 'copy', ...how, from, `docker://${host}/closed/theirs:1`));
    assert.match(
      await succeeds(pull('closed/theirs:1', '--creds', CREDS)),
      new RegExp(`^manifest ${image.digest}$`, 'm'),
    );
  });
});
