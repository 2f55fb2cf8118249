// policy.json against images that skopeo signed, with gpg and with keys of sigstore's kind: what skopeo lets in, and what
// we do.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { runCli } from '../support/cli/run-cli.js';
import { startRegistry, type Server } from './docker-registry.js';
import { inTree, runInPeers, SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

/** What stands for the folder with the keys, for the registry and for the store in rules. */
const [DIR, HOST, STORE] = ['@DIR@', '@HOST@', '@STORE@'];
const ACCEPT = { type: 'insecureAcceptAnything' };
const REJECT = { type: 'reject' };
const GPG = { type: 'signedBy', keyType: 'GPGKeys', keyPath: `${DIR}/vendor.asc` };
const BOTH = { ...GPG, keyPath: undefined, keyPaths: [`${DIR}/stranger.asc`, `${DIR}/vendor.gpg`] };
const SIGSTORE = { type: 'sigstoreSigned', keyPath: `${DIR}/key.pub` };
const NAME = { type: 'exactRepository', dockerRepository: `${HOST}/signed/gpg` };
const only = (rule: object): object => ({ default: [rule] });
const scoped = (transport: string, scopes: object): object => ({
  default: [REJECT],
  transports: { [transport]: scopes },
});

const POLICIES: Record<string, object> = {
  accept: only(ACCEPT),
  reject: only(REJECT),
  gpg: only(GPG),
  'gpg, either key': only(BOTH),
  'gpg, a name': only({ ...GPG, signedIdentity: NAME }),
  'gpg, the repository': only({ ...GPG, signedIdentity: { type: 'matchRepository' } }),
  'gpg, exactly': only({ ...GPG, signedIdentity: { type: 'matchExact' } }),
  'gpg, a prefix': only({
    ...GPG,
    signedIdentity: { type: 'remapIdentity', prefix: `${HOST}/moved`, signedPrefix: `${HOST}/signed` },
  }),
  sigstore: only(SIGSTORE),
  'gpg and sigstore': { default: [GPG, SIGSTORE] },
  'a repository': scoped('docker', { [`${HOST}/signed/gpg`]: [GPG], [HOST]: [ACCEPT] }),
  'a host': scoped('docker', { [HOST]: [SIGSTORE] }),
  'folders above': scoped('dir', { [DIR]: [ACCEPT] }),
  'a store': scoped('containers-storage', { [`[overlay@${STORE}]`]: [{ ...GPG, signedIdentity: NAME }] }),
  'an unknown rule': { default: [ACCEPT], transports: { atomic: { '': [{ type: 'new' }] } } },
  'an unknown member': { default: [{ ...ACCEPT, more: 1 }] },
  'a scope that is none': { default: [ACCEPT], transports: { dir: { a: [ACCEPT] } } },
};

const IMAGES = [
  'docker://@HOST@/plain:1',
  'docker://@HOST@/signed/gpg:1',
  'docker://@HOST@/signed/gpg@@DIGEST@',
  'docker://@HOST@/signed/stranger:1',
  'docker://@HOST@/signed/sigstore:1',
  'docker://@HOST@/moved/gpg:1',
  'dir:@DIR@/plain',
  'dir:@DIR@/signed',
  'oci:@DIR@/layout:it',
  'containers-storage:[overlay@@STORE@+/run/policy-test]signed:1',
];

describe('policies', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let server: Server;
  let repository: string;
  let digest: string;
  /** What stands in texts, for ours and for the Debian tree. */
  const filled = (text: string, dir: string): string =>
    text
      .replaceAll(STORE, `${folder.inside}/store`)
      .replaceAll(HOST, server.host)
      .replaceAll('@DIGEST@', digest)
      .replaceAll(DIR, dir);

  const skopeo = (...args: string[]) => runInPeers('skopeo', '--registries.d', `${folder.inside}/theirs.d`, ...args);
  function copy(...args: string[]): void {
    const { status, stderr } = runInPeers(
      'env',
      `GNUPGHOME=${folder.inside}/gnupg`,
      ...['skopeo', '--registries.d', `${folder.inside}/theirs.d`, '--insecure-policy', 'copy', '-q'],
      ...args,
    );
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  }

  before(async () => {
    folder = new SharedFolder();
    server = await startRegistry(folder, 'registry');
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    for (const [name, dir] of [
      ['ours', folder.path],
      ['theirs', folder.inside],
    ] as const) {
      mkdirSync(join(folder.path, `${name}.d`));
      writeFileSync(
        join(folder.path, `${name}.d/all.yaml`),
        `default-docker:\n  lookaside: file://${dir}/lookaside\n  use-sigstore-attachments: true\n`,
      );
    }
    const gpg = (...args: string[]): string =>
      inTree('gpg', '--batch', '--homedir', `${folder.inside}/gnupg`, '--pinentry-mode', 'loopback', ...args);
    mkdirSync(join(folder.path, 'gnupg'), { mode: 0o700 });
    for (const name of ['vendor', 'stranger']) {
      const id = `${name}@example.org`;
      gpg('--passphrase', '', '--quick-generate-key', id, 'ed25519', 'sign', 'never');
      gpg('--armor', '--output', `${folder.inside}/${name}.asc`, '--export', id);
      gpg('--output', `${folder.inside}/${name}.gpg`, '--export', id);
    }
    writeFileSync(join(folder.path, 'passphrase'), 'secret\n');
    const passphrase = ['--passphrase-file', `${folder.inside}/passphrase`];
    inTree('skopeo', 'generate-sigstore-key', '--output-prefix', `${folder.inside}/key`, ...passphrase);

    const layout = new Layout(join(folder.path, 'layout'));
    const image = layout.image([{ tar: tarOf({ a: 'a'.repeat(500) }) }]);
    layout.publish({ it: image });
    digest = image.digest;
    const from = `oci:${folder.inside}/layout:it`;
    const to = (name: string): string => `docker://${server.host}/${name}:1`;
    const plain = ['--dest-tls-verify=false', '--preserve-digests', from];
    const sign = (key: string): string[] => ['--sign-by', `${key}@example.org`];
    const identity = ['--sign-identity', `${server.host}/signed/gpg:1`];
    copy(...plain, to('plain'));
    copy(...sign('vendor'), ...plain, to('signed/gpg'));
    copy(...sign('stranger'), ...plain, to('signed/stranger'));
    copy(...sign('vendor'), ...identity, ...plain, to('moved/gpg'));
    copy(
      ...['--sign-by-sigstore-private-key', `${folder.inside}/key.private`],
      ...['--sign-passphrase-file', `${folder.inside}/passphrase`, ...plain],
      to('signed/sigstore'),
    );
    copy(from, `dir:${folder.inside}/plain`);
    copy(...sign('vendor'), ...identity, from, `dir:${folder.inside}/signed`);
    copy(
      ...[...sign('vendor'), ...identity, from],
      `containers-storage:[overlay@${folder.inside}/store+/run/policy-test]signed:1`,
    );
  });
  after(async () => {
    inTree('gpgconf', '--homedir', `${folder.inside}/gnupg`, '--kill', 'all');
    server.child.kill();
    if (server.child.exitCode === null && server.child.signalCode === null) await once(server.child, 'close');
    folder[Symbol.dispose]();
  });

  let count = 0;
  for (const [name, policy] of Object.entries(POLICIES)) {
    test(`"${name}" lets in the same images here and there`, () => {
      const number = count++;
      for (const [whose, dir] of [
        ['ours', folder.path],
        ['theirs', folder.inside],
      ] as const)
        writeFileSync(
          join(folder.path, `${whose}.json`),
          filled(JSON.stringify(policy).replaceAll(STORE, `${dir}/store`), dir),
        );
      const theirs: Record<string, boolean> = {};
      const ours: Record<string, boolean> = {};
      for (const [index, image] of IMAGES.entries()) {
        const there = skopeo(
          ...['--policy', `${folder.inside}/theirs.json`, 'copy', '-q', '--remove-signatures'],
          ...['--src-tls-verify=false', filled(image, folder.inside), `oci:${folder.inside}/copy-${number}-${index}`],
        );
        theirs[image] = there.status === 0;
        const remote = image.startsWith('docker:')
          ? ['--tls-verify=false', '--registries.d', join(folder.path, 'ours.d')]
          : [];
        const here = runCli([
          ...['--repo', repository, 'oci', 'pull', ...remote, '--policy', join(folder.path, 'ours.json')],
          ...[filled(image, folder.path).replace(`${folder.inside}/store`, join(folder.path, 'store')), 'it'],
        ]);
        ours[image] = here.status === 0;
        if (!ours[image]) assert.match(here.stderr, /ours\.json/, `${image}: ${here.stderr}`);
      }
      assert.deepEqual(ours, theirs);
    });
  }
});
