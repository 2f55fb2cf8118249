// Archives and folders as podman and skopeo write them, pulled by the names with which they were written.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { tarOf } from '../support/images/source-layout.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { run, runInPeers, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

const NAME = 'localhost/c11:1';

describe('names of images in archives', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let repository: string;
  let expected: string;
  before(() => {
    folder = new SharedFolder();
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    writeLayout(join(folder.path, 'image'), [tarOf({ file: 'content '.repeat(50) })]);
    const store = `containers-storage:[overlay@${folder.inside}/store+${folder.inside}/run]${NAME}`;
    inPeers('skopeo', '--insecure-policy', 'copy', '-q', `oci:${folder.inside}/image:image`, store);
    expected = idOf(`oci:${folder.path}/image:image`);
  });
  after(() => folder[Symbol.dispose]());

  function inPeers(...command: string[]): void {
    const { status, stderr } = runInPeers(...command);
    assert.equal(status, 0, `${command.join(' ')}: ${stderr}`);
  }

  /** The EROFS image of what a reference names. */
  function idOf(reference: string): string {
    const { status, stderr } = run('sh', [
      '-c',
      'cd "$1" && shift && exec "$@"',
      'sh',
      folder.path,
      cfsbridge,
      '--repo',
      repository,
      'oci',
      'pull',
      reference,
      'pulled',
    ]);
    assert.equal(status, 0, `${reference}: ${stderr}`);
    return succeed(cfsbridge, ['--repo', repository, 'oci', 'compute-id', 'pulled']);
  }

  for (const [format, file, transport] of [
    ['oci-archive', 's.tar', 'oci-archive'],
    ['docker-archive', 'd.tar', 'docker-archive'],
    ['oci-dir', 'o', 'oci'],
    ['docker-dir', 'dir', 'dir'],
  ] as const)
    test(`podman save --format ${format}`, () => {
      inPeers(
        'podman',
        '--root',
        `${folder.inside}/store`,
        '--runroot',
        `${folder.inside}/run`,
        '--storage-driver',
        'overlay',
        'save',
        '-q',
        '--format',
        format,
        '-o',
        `${folder.inside}/${file}`,
        NAME,
      );
      assert.equal(idOf(`${transport}:${file}`), expected);
      if (transport !== 'dir') assert.equal(idOf(`${transport}:${file}:${NAME}`), expected);
    });

  for (const transport of ['oci', 'oci-archive', 'docker-archive'] as const)
    test(`skopeo copy to ${transport}:`, () => {
      inPeers(
        'skopeo',
        '--insecure-policy',
        'copy',
        '-q',
        `oci:${folder.inside}/image:image`,
        `${transport}:${folder.inside}/${transport}-by-skopeo:${NAME}`,
      );
      assert.equal(idOf(`${transport}:${transport}-by-skopeo:${NAME}`), expected);
    });
});
