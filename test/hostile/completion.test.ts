// Names in a repository of somebody else, offered to a shell.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { runCli } from '../support/cli/run-cli.js';
import { fastFolder } from '../support/fast-folder.js';
import { attack } from './attack.js';

const NAMES = [
  '$(touch pwned)',
  '`touch pwned`',
  ';touch pwned',
  'a b',
  '*',
  '~',
  "'",
  '"',
  '\\',
  '-n',
  '--help',
  '=ls',
  'a\nb',
  'a\vb',
  'a\tb',
  '\x1b]0;title\x07',
  '{a,b}',
  '!!',
  '<(touch pwned)',
  '\u202egnp',
];

attack('a tag that a shell would run, when it is offered as a completion', {}, () => {
  const folder = mkdtempSync(join(fastFolder, 'completion-'));
  try {
    assert.equal(runCli(['--repo', join(folder, 'repo'), 'init', '--insecure']).status, 0);
    const tags = join(folder, 'repo/streams/refs/oci');
    mkdirSync(tags, { recursive: true });
    for (const name of ['good', ...NAMES]) symlinkSync(`../../oci-manifest-sha256:${'0'.repeat(64)}`, join(tags, name));
    for (const shell of ['bash', 'zsh', 'fish']) {
      const env = { ...process.env, COMPLETE: shell, _CLAP_COMPLETE_INDEX: '5', _CLAP_IFS: '\n' };
      const { stdout } = runCli(['--', 'cfsbridge', '--repo', 'repo', 'oci', 'untag', ''], { env, cwd: folder });
      assert.deepEqual(
        stdout.split('\n').filter((line) => !line.startsWith('--')),
        ['good'],
        shell,
      );
    }
    const script = `${runCli(['completion', 'bash']).stdout}
      COMP_LINE='cfsbridge --repo repo oci untag ' COMP_POINT=\${#COMP_LINE}
      COMP_WORDS=(cfsbridge --repo repo oci untag ''); COMP_CWORD=5
      _cfsbridge cfsbridge '' untag; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = spawnSync('bash', ['-c', script], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${join(import.meta.dirname, '../../../bin')}:${process.env['PATH']}` },
    });
    assert.equal(stdout, 'good\n');
    assert.equal(existsSync(join(folder, 'pwned')), false);
    return `of ${NAMES.length} such names none is offered`;
  } finally {
    rmSync(folder, { recursive: true });
  }
});
