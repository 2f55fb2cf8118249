// Names and messages from outside that would steer the terminal.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Repository } from '../../src/repository/repository.js';
import { readTag, writeTag } from '../../src/repository/tags.js';
import { cfsbridge, runCli, runCliBytes } from '../support/cli/run-cli.js';
import { header, pax } from '../support/layers/make-tar.js';
import { attack } from './attack.js';
import { craftRepository, craftStream, DIFF_ID } from './crafted-image.js';

/** C0, DEL, C1 as text and as a byte, overrides and isolates of direction, a line separator. */
const EVIL = 'a\x1b[2Jb\x07c\rd\x7fe\x9bfg\u202eh\u2066i\u200fj\u2028k\u061cl';
const EVIL_BYTES = Buffer.concat([Buffer.from(EVIL), Buffer.from([0x9b, 0x85])]);
/** UTF-8 of what must not come out, and newlines that no line of ours has. */
const STEERING = /[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]/;

const HEX = 'ab'.repeat(64);
const GLOBAL = [
  ['oci', 'images'],
  ['oci', 'images', '--json'],
  ['images'],
  ['images', '--json'],
  ['images', '--no-trunc'],
  ['fsck'],
  ['fsck', '--json'],
  ['oci', 'fsck'],
  ['oci', 'fsck', '--json'],
  ['gc', '--dry-run'],
  ['gc', '--dry-run', '--json'],
  ['oci', 'inspect', 'web'],
  ['oci', 'dump', 'web'],
  ['oci', 'layer', '--dumpfile', DIFF_ID],
  ['oci', 'layer', '--json', DIFF_ID],
  ['oci', 'compute-id', 'web'],
  ['fsck', '--repair'],
  ['dump-files', EVIL],
  ['image-objects', EVIL],
  ['create-dumpfile', '{folder}'],
  ['compute-id', '{folder}'],
];
const WITH_NAME = [
  ['oci', 'inspect', EVIL],
  ['oci', 'dump', EVIL],
  ['oci', 'fsck', EVIL],
  ['oci', 'tag', 'web', EVIL],
  ['oci', 'untag', EVIL],
  ['oci', 'layer', EVIL],
  ['oci', 'mount', EVIL, '/proc/none'],
  ['oci', 'pull', `oci:/proc/none/${EVIL}`, 'x'],
  ['oci', 'pull', `containers-storage:${EVIL}`],
  ['oci', 'pull', EVIL],
  ['oci', 'copy', EVIL, '--from', `/proc/none${EVIL}`],
  ['cat', EVIL],
  ['mount', EVIL, EVIL],
  ['migrate', '--hash', EVIL],
  ['import-image', EVIL],
  ['create-image', `/proc/none${EVIL}`, EVIL],
  ['init', `/proc/none/${EVIL}`],
  ['serve', '--socket', `/proc/none/${EVIL}`],
  ['varlink', '--address', `unix:/proc/none/${EVIL}`],
  [EVIL],
  ['oci', EVIL],
  [`--${EVIL}`],
  ['--hash', EVIL, 'images'],
  ['--erofs-version', EVIL, 'images'],
  ['completion', EVIL],
  ['help', EVIL],
  ['mkcomposefs', `/proc/none${EVIL}`, '-'],
  ['composefs-info', 'ls', `/proc/none${EVIL}`],
  ['composefs-info', EVIL],
];

attack('names full of escapes, from every command', {}, async (t) => {
  const { repo, folder } = await hostileRepository(t);
  let shown = 0;
  for (const given of [...GLOBAL, ...WITH_NAME]) {
    const args = given.map((word) => word.replace('{folder}', folder));
    const { stdout, stderr } = runCliBytes(['--repo', repo, ...args]);
    const text = Buffer.concat([stdout, stderr]).toString('latin1');
    assert.doesNotMatch(text, STEERING, JSON.stringify(args));
    if (/\[2J/.test(text)) shown++;
  }
  assert.ok(shown > 20, `only ${shown} commands showed a name`);
  return `${GLOBAL.length + WITH_NAME.length} commands, ${shown} show a name, none raw`;
});

attack('names full of escapes, in JSON for programs', {}, async (t) => {
  const { repo } = await hostileRepository(t);
  const { images } = JSON.parse(runCli(['--repo', repo, 'oci', 'images', '--json']).stdout) as {
    images: { name: string }[];
  };
  assert.ok(images.some(({ name }) => name === EVIL));
  const { config } = JSON.parse(runCli(['--repo', repo, 'oci', 'inspect', 'web']).stdout) as { config: string };
  const bytes = runCliBytes(['--repo', repo, 'oci', 'inspect', '--config', 'web']).stdout;
  assert.equal(bytes.toString().trimEnd(), config);
  return 'the values are the same';
});

attack('a name full of escapes in an error nobody expected', {}, async () => {
  const throwing = encodeURIComponent(`setTimeout(() => { throw new TypeError(${JSON.stringify(EVIL)}); })`);
  const { status, stderr } = spawnSync(cfsbridge, ['fsck', '--help'], {
    env: { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${throwing}` },
  });
  assert.equal(status, 1);
  assert.match(stderr.toString(), /^TypeError: a\\x1b\[2Jb/);
  assert.doesNotMatch(stderr.toString('latin1'), STEERING);
  return 'its message and stack are escaped';
});

/**
 * Tags, dangling ones too, refs, streams, images, files of layers, xattrs and files where none belong: all called EVIL.
 */
async function hostileRepository(t: { after(fn: () => void): void }): Promise<{ repo: string; folder: string }> {
  const [repo, folder] = [
    mkdtempSync(join(tmpdir(), 'bounds-terminal-')),
    mkdtempSync(join(tmpdir(), 'bounds-terminal-folder-')),
  ];
  t.after(() => [repo, folder].forEach((path) => rmSync(path, { recursive: true, force: true })));
  const name = EVIL_BYTES.toString('latin1');
  const tar = Buffer.concat([
    pax({ path: `usr/${name}`, linkpath: name, [`SCHILY.xattr.user.${name}`]: name }),
    header({ name: 'x', type: '2', link: 'x' }),
    header({ name: 'usr/', type: '5', mode: 0o755 }),
    Buffer.alloc(1024),
  ]);
  await craftRepository(repo, 'web', () => craftStream(tar.length, [tar]));
  {
    using repository = await Repository.open(repo, { write: true });
    writeTag(repository, EVIL, readTag(repository, 'web') as string);
  }
  const path = (place: string): Buffer => Buffer.concat([Buffer.from(`${repo}/${place}/`), EVIL_BYTES]);
  for (const place of ['streams/refs/oci', 'images/refs', 'images', 'streams', 'objects', 'objects/ab'])
    mkdirSync(join(repo, place), { recursive: true });
  for (const place of ['streams/refs/oci', 'images/refs', 'images', 'streams', 'streams/refs'])
    symlinkSync(`../../${EVIL}`, path(place));
  for (const place of ['objects', 'objects/ab']) writeFileSync(path(place), '');
  writeFileSync(join(repo, 'objects/ab', HEX.slice(2)), createHash('sha256').update('x').digest());
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), EVIL_BYTES]), readFileSync('/proc/self/stat'));
  return { repo, folder };
}
