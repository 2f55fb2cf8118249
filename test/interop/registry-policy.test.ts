// Lists and their images with signatures of sigstore's kind, made by skopeo: what skopeo lets in by a policy, and what
// we do.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCli } from '../support/cli/run-cli.js';
import { Layout, tarOf, type Described } from '../support/images/source-layout.js';
import { hostPlatform } from '../../src/spec/platform.js';
import { startRegistry, type Server } from './docker-registry.js';
import { runInPeers, SharedFolder, whyNoPeers, type Answer } from './peers.js';
import { makeRepository } from './repositories.js';

describe('lists with signatures', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let server: Server;
  let repository: string;
  const digests = { list: '', image: '' };

  const skopeo = (...args: string[]): Answer =>
    runInPeers('skopeo', '--registries.d', `${folder.inside}/registries.d`, ...args);
  function copy(...args: string[]): void {
    const { status, stderr } = skopeo('--insecure-policy', 'copy', '-q', ...args);
    assert.equal(status, 0, stderr);
  }
  const at = (name: string): string => `docker://${server.host}/${name}`;

  before(async () => {
    folder = new SharedFolder();
    server = await startRegistry(folder, 'registry');
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    mkdirSync(join(folder.path, 'registries.d'));
    writeFileSync(join(folder.path, 'registries.d/all.yaml'), 'default-docker:\n  use-sigstore-attachments: true\n');
    writeFileSync(join(folder.path, 'passphrase'), 'secret\n');
    const passphrase = `${folder.inside}/passphrase`;
    const prefix = `${folder.inside}/key`;
    const made = runInPeers(
      'skopeo',
      'generate-sigstore-key',
      '--output-prefix',
      prefix,
      '--passphrase-file',
      passphrase,
    );
    assert.equal(made.status, 0, made.stderr);

    const layout = new Layout(join(folder.path, 'layout'));
    const image = layout.image([{ tar: tarOf({ a: 'a'.repeat(500) }) }]);
    const list = layout.index([{ ...image, platform: hostPlatform() } as Described]);
    layout.publish({ it: list });
    Object.assign(digests, { list: list.digest, image: image.digest });
    const from = `oci:${folder.inside}/layout:it`;
    const signing = ['--sign-by-sigstore-private-key', `${prefix}.private`, '--sign-passphrase-file', passphrase];
    copy('--all', '--preserve-digests', '--dest-tls-verify=false', ...signing, from, at('signed/both:1'));
    const rule = {
      type: 'sigstoreSigned',
      keyPath: '',
      signedIdentity: { type: 'exactRepository', dockerRepository: `${server.host}/signed/both` },
    };
    for (const [name, base] of [
      ['ours', folder.path],
      ['theirs', folder.inside],
    ] as const) {
      const transports = { docker: { '': [{ ...rule, keyPath: `${base}/key.pub` }] } };
      const policy = { default: [{ type: 'insecureAcceptAnything' }], transports };
      writeFileSync(join(folder.path, `${name}.json`), JSON.stringify(policy));
    }
    const plain = ['--src-tls-verify=false', '--dest-tls-verify=false', '--preserve-digests'];
    for (const [repo, ...signed] of [['none'], ['list', digests.list], ['image', digests.image]] as const) {
      copy('--all', '--dest-tls-verify=false', '--preserve-digests', from, at(`signed/${repo}:1`));
      for (const digest of signed) {
        const tag = `${digest.replace(':', '-')}.sig`;
        copy(...plain, at(`signed/both:${tag}`), at(`signed/${repo}:${tag}`));
      }
    }
  });
  after(async () => {
    server.child.kill();
    if (server.child.exitCode === null && server.child.signalCode === null) await once(server.child, 'close');
    folder[Symbol.dispose]();
  });

  let count = 0;
  const byBoth = (name: string): [theirs: Answer, ours: Answer] => {
    const policy = ['--policy', `${folder.inside}/theirs.json`];
    const to = `oci:${folder.inside}/copy-${count++}`;
    return [
      skopeo(...policy, 'copy', '-q', '--remove-signatures', '--src-tls-verify=false', at(name), to),
      runCli([
        ...['--repo', repository, 'oci', 'pull', '--tls-verify=false'],
        ...[
          '--registries.d',
          join(folder.path, 'registries.d'),
          '--policy',
          join(folder.path, 'ours.json'),
          at(name),
          'it',
        ],
      ]),
    ];
  };

  const cases: [signed: string, repo: string, accepted: boolean][] = [
    ['neither the list nor the image', 'none', false],
    ['the list alone', 'list', false],
    ['the image alone', 'image', true],
    ['the list and the image', 'both', true],
  ];
  for (const [what, repo, accepted] of cases)
    test(`${what} is signed: the image is ${accepted ? 'let in' : 'refused'} by both`, () => {
      for (const name of [`signed/${repo}:1`, `signed/${repo}@${digests.list}`, `signed/${repo}@${digests.image}`]) {
        const [theirs, ours] = byBoth(name);
        assert.deepEqual([name, theirs.status], [name, accepted ? 0 : 1], theirs.stderr);
        assert.deepEqual([name, ours.status], [name, accepted ? 0 : 1], ours.stderr);
        if (accepted) continue;
        assert.match(theirs.stderr, /signature was required, but no signature exists|no signature/i);
        assert.match(ours.stderr, /"sigstoreSigned".*the image has no signature/);
      }
    });

  test('skopeo asks for the signatures of the images only, also where it copies the whole list', () => {
    const policy = ['--policy', `${folder.inside}/theirs.json`];
    const all = (repo: string): Answer =>
      skopeo(
        ...policy,
        'copy',
        '-q',
        '--all',
        '--remove-signatures',
        '--src-tls-verify=false',
        at(`signed/${repo}:1`),
        `oci:${folder.inside}/all-${repo}`,
      );
    assert.deepEqual(
      cases.map(([, repo]) => all(repo).status),
      cases.map(([, , accepted]) => (accepted ? 0 : 1)),
    );
  });
});
