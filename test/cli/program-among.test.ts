import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { programAmong } from '../../src/cli/program-among.js';
import { createProgram } from '../../src/cli/program.js';
import type { Session } from '../../src/cli/session.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

test('every global option may stand before the programs that are commands', () => {
  for (const option of createProgram({} as Session).options) {
    if (option.short !== undefined && ['--help', '--version'].includes(option.long!)) continue;
    const words = option.required ? [option.long!, 'value'] : [option.long!];
    assert.deepEqual(
      programAmong([...words, 'mkcomposefs', '--repo', 'a']),
      { name: 'mkcomposefs', args: ['--repo', 'a'] },
      option.flags,
    );
    if (option.required)
      assert.deepEqual(
        programAmong([`${option.long}=value`, 'composefs-info']),
        { name: 'composefs-info', args: [] },
        option.flags,
      );
  }
});

test('they are found nowhere else', () => {
  for (const args of [
    [],
    ['--repo', 'mkcomposefs'],
    ['--repo', 'mkcomposefs', 'gc'],
    ['oci', 'mkcomposefs'],
    ['--nonsense', 'mkcomposefs'],
    ['--version', 'mkcomposefs'],
  ])
    assert.equal(programAmong(args), undefined, args.join(' '));
});

describe('as commands', () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const bin = (name: string): string => join(cfsbridge, '..', name);
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'programs-'));
    mkdirSync(at('files'));
    writeFileSync(at('files/large'), Buffer.alloc(5000, 'x'));
    linkSync(at('files/large'), at('files/again'));
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const args of [
    ['mkcomposefs'],
    ['mkcomposefs', '--bogus'],
    ['composefs-info'],
    ['composefs-info', 'ls', '/nowhere'],
    ['composefs-info', '--help'],
  ])
    test(`${args.join(' ')}: output and status are the program's`, () => {
      const own = spawnSync(bin(args[0]!), args.slice(1), { encoding: 'utf8' });
      const { status, stdout, stderr } = runCli(args);
      assert.deepEqual({ status, stdout, stderr }, { status: own.status, stdout: own.stdout, stderr: own.stderr });
    });

  test('names of one inode share one in the image when asked to', () => {
    const dump = (...options: string[]): string => {
      assert.equal(runCli(['--no-repo', 'mkcomposefs', ...options, at('files'), at('image')]).status, 0);
      return runCli(['composefs-info', 'dump', at('image')]).stdout;
    };
    assert.match(dump('--hardlinks'), /^\/again 5000 100644 2 .*\n\/large 5000 @100644 2 0 0 0 \S+ \/again - /m);
    assert.doesNotMatch(dump(), / @1/);
    dump('--hardlinks', '--use-epoch');
    assert.doesNotMatch(runCli(['composefs-info', 'dump', at('image')]).stdout, / [1-9][0-9]*\.[0-9]+ /);
  });

  test('help does not list them, and tells about them when asked', () => {
    assert.doesNotMatch(runCli(['--help']).stdout, /mkcomposefs|composefs-info/);
    assert.match(runCli(['help', 'mkcomposefs']).stdout, /^Usage: cfsbridge mkcomposefs /);
    for (const shell of ['bash', 'zsh', 'fish'])
      assert.doesNotMatch(
        runCli(['completion', shell]).stdout,
        /cfsbridge mkcomposefs|'mkcomposefs:|-a mkcomposefs|composefs-info/,
      );
  });
});
