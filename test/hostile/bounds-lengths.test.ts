// Names and targets that are longer than any file system takes them are refused before anything is made of them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { header, pax } from '../support/layers/make-tar.js';
import { runCli } from '../support/cli/run-cli.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { attack } from './attack.js';
import { measured } from './measure.js';

const WHEN_LONG = [
  [
    '4,000 nested folders, their names in PAX records',
    folders(4000, 'd'),
    /the tar entry's name has 4\d{3} bytes, at most 4095 are accepted/,
  ],
  [
    '500 nested folders with names of 200 bytes',
    folders(500, 'd'.repeat(200)),
    /the tar entry's name has 4\d{3} bytes, at most 4095/,
  ],
  [
    'a name of 256 bytes',
    [pax({ path: 'n'.repeat(256) }), header()],
    /the tar entry's name has a part of more than 255 bytes/,
  ],
  [
    'a link target of 4,096 bytes',
    [pax({ linkpath: 'd/'.repeat(2048) + 'x' }), header({ type: '2', link: 'x' })],
    /the tar entry's target has 4097 bytes, at most 4095/,
  ],
  [
    'xattrs with names of more than 64 KiB',
    [
      pax(Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`SCHILY.xattr.user.${'x'.repeat(200)}${i}`, '1']))),
      header(),
    ],
    /names of xattrs of \d+ bytes, at most 65536/,
  ],
] as const;

for (const [what, tar, message] of WHEN_LONG)
  attack(`a layer with ${what}`, {}, async (t) => {
    const { folder, repo } = places(t);
    writeLayout(folder, [Buffer.concat([...tar, Buffer.alloc(1024)])]);
    const run = await measured(['--repo', repo, 'oci', 'pull', `oci:${folder}`, 'x'], { limit: 30 });
    assert.equal(run.status, 1, run.stderr);
    assert.match(run.stderr, message);
    assert.ok(run.seconds < 5 && run.mebibytes < 300, `${run.seconds} s, ${run.mebibytes} MiB`);
    return `refused after ${run.seconds.toFixed(1)} s`;
  });

function folders(depth: number, name: string): Buffer[] {
  return Array.from({ length: depth }, (_, i) =>
    Buffer.concat([pax({ path: `${name}/`.repeat(i + 1) }), header({ name: 'x', type: '5' })]),
  );
}

function places(t: { after(fn: () => void): void }): { folder: string; repo: string } {
  const [folder, repo] = [mkdtempSync(join(tmpdir(), 'bounds-layout-')), mkdtempSync(join(tmpdir(), 'bounds-shapes-'))];
  t.after(() => [folder, repo].forEach((path) => rmSync(path, { recursive: true, force: true })));
  assert.equal(runCli(['init', '--insecure', repo]).status, 0);
  return { folder, repo };
}
