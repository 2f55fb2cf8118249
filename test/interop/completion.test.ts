// The same questions of clap's protocol to cfsctl and to us, about one repository.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { systemTar } from '../support/layers/system-tar.js';
import { cfsctl, run, SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

/** We offer the images' ids, too, once something is typed; theirs begin as it happens. */
const ID = /^(?:[0-9a-f]{64}|[0-9a-f]{128})$/;

describe('completions of names', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  const at = (name: string): string => join(folder.path, name);
  before(() => {
    folder = new SharedFolder();
    makeRepository(at('repository'));
    for (const [name, tag] of [
      ['one', 'first'],
      ['two', 'quay.io/ns/second:1'],
    ] as const) {
      writeLayout(at(name), [systemTar({ [`usr/${name}`]: name.repeat(100) })]);
      assert.equal(runCli(['--repo', at('repository'), 'oci', 'pull', `oci:${at(name)}`, tag]).status, 0);
    }
    mkdirSync(at('files'));
    writeFileSync(at('files/a'), 'a');
    assert.equal(
      runCli(['--repo', at('repository'), 'create-image', '--no-propagate-usr-to-root', at('files'), 'web/img']).status,
      0,
    );
  });
  after(() => folder[Symbol.dispose]());

  function names(program: string, words: readonly string[], shell: string): string[] {
    const all = ['cfsctl', '--repo', at('repository'), ...words];
    const { status, stdout } = run(program, ['--', ...all], {
      COMPLETE: shell,
      _CLAP_COMPLETE_INDEX: String(all.length - 1),
      _CLAP_IFS: '\n',
    });
    assert.equal(status, 0);
    return stdout
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('-') && !ID.test(line))
      .sort();
  }

  for (const shell of ['bash', 'zsh', 'fish'])
    for (const command of [
      'oci untag',
      'oci fsck',
      'oci tag',
      'mount',
      'image-objects',
      'dump-files',
      ...(shell === 'bash' ? ['--hash'] : []),
      'oci images',
      'oci pull',
    ])
      for (const begun of ['', 'f', 'refs/'])
        test(`${shell}: ${command} ${begun}`, () => {
          const words = [...command.split(' '), begun];
          assert.deepEqual(names(cfsbridge, words, shell), names(cfsctl, words, shell));
        });

  test('commands that take a tag or a digest: the digests are offered in the form that is taken', () => {
    for (const command of ['inspect', 'mount', 'compute-id', 'dump', 'prepare-boot']) {
      const theirs = names(cfsctl, ['oci', command, ''], 'bash');
      assert.deepEqual(
        names(cfsbridge, ['oci', command, ''], 'bash'),
        theirs.map((name) => name.replace(/^sha256:/, '@sha256:')).sort(),
      );
    }
  });

  test('streams: those that cat takes', () => {
    const theirs = names(cfsctl, ['cat', ''], 'bash').filter((name) => name.startsWith('refs/'));
    assert.equal(theirs.length, 2);
    assert.deepEqual(names(cfsbridge, ['cat', ''], 'bash'), theirs);
  });

  test('commands start with the same words', () => {
    const missing = names(cfsctl, [''], 'bash').filter((name) => !names(cfsbridge, [''], 'bash').includes(name));
    assert.deepEqual(missing, []);
  });
});
