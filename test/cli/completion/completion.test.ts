import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli } from '../../support/cli/run-cli.js';

/** Asks the real shell what it would offer after these words; undefined when the shell is not installed. */
const shells: Record<string, (script: string, line: string) => string[] | undefined> = {
  bash: (script, line) =>
    offered('bash', [
      '-c',
      `${script}
      COMP_WORDS=(${line}''); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      [[ $1 == *' ' ]] || { COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); }
      _cfsbridge; printf '%s\\n' "\${COMPREPLY[@]}"`,
      'bash',
      line,
    ]),
  fish: (script, line) =>
    offered('fish', ['-c', `${script}\ncomplete -C '${line}'`])?.map((word) => word.split('\t')[0] ?? ''),
};

function offered(program: string, args: string[]): string[] | undefined {
  const { stdout, error } = spawnSync(program, args, { encoding: 'utf8' });
  return error
    ? undefined
    : stdout
        .split('\n')
        .filter((word) => word !== '')
        .sort();
}

const lines: [string, string[]][] = [
  ['cfsbridge completion ', ['bash', 'fish', 'zsh']],
  ['cfsbridge --hash ', ['sha256', 'sha512']],
  ['cfsbridge --requ', ['--require-verity']],
  ['cfsbridge compl', ['completion']],
];

for (const [shell, ask] of Object.entries(shells))
  for (const [line, expected] of lines)
    test(`${shell} completes "${line}"`, (t) => {
      const words = ask(runCli(['completion', shell]).stdout, line);
      if (words === undefined) return t.skip(`${shell} is not installed`);
      assert.deepEqual(words, expected);
    });

for (const shell of ['bash', 'zsh', 'fish'])
  test(`${shell} accepts the syntax of its script`, (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'cfsbridge-completion-'));
    try {
      const script = join(dir, 'script');
      writeFileSync(script, runCli(['completion', shell]).stdout);
      const { error, status, stderr } = spawnSync(shell, ['-n', script], { encoding: 'utf8' });
      if (error) return t.skip(`${shell} is not installed`);
      assert.equal(status, 0, stderr);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
