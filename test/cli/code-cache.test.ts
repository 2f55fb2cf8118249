import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const files = [
  'package.json',
  'bin',
  'scripts/code-cache.mjs',
  'dist/src/cli/bundle.cjs',
  'dist/cli/commands.cjs',
  'dist/cli/mkcomposefs.cjs',
  'dist/cli/commits.cjs',
  'dist/cli/remote.cjs',
  'dist/cli/pull.cjs',
  'dist/cli/proxy.cjs',
  'dist/cli/completion.cjs',
  'build/Release/cfsbridge.node',
];

describe('code cache', () => {
  let copy: string;
  let cache: string;
  const installed = (...names: string[]) => join(copy, ...names);
  const run = (file: string, ...args: string[]) =>
    execFileSync(process.execPath, [...flags(), installed(file), ...args], { encoding: 'utf8' });
  const flags = () =>
    (/ exec node (.*) "\$0"/.exec(readFileSync(join(root, 'bin/cfsbridge'), 'utf8'))?.[1] ?? '').split(' ');
  // As V8 sees it in a process that starts like the command.
  const isTaken = (node = process.version) =>
    execFileSync(
      process.execPath,
      [
        ...flags(),
        '-e',
        `
      const vm = require('node:vm'), Script = vm.Script;
      vm.Script = class extends Script {
        constructor(source, options) {
          super(source, options);
          if (options.cachedData) console.log('rejected ' + this.cachedDataRejected);
        }
      };
      process.argv = [process.argv[0], 'cfsbridge', '--version'];
      Object.defineProperty(process, 'version', { value: '${node}' });
      require('${installed('dist/src/cli/bundle.cjs')}').run('commands');`,
      ],
      { encoding: 'utf8' },
    );

  before(() => {
    copy = mkdtempSync(join(tmpdir(), 'cfsbridge-code-cache-'));
    cache = installed(`dist/cli/pull-${process.version}.cache`);
    for (const file of files) {
      mkdirSync(installed(file, '..'), { recursive: true });
      cpSync(join(root, file), installed(file), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), installed('node_modules'));
    run('scripts/code-cache.mjs');
  });
  after(() => rmSync(copy, { recursive: true }));

  const version =
    'cfsbridge ' + `${(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version}`;

  test('is taken by the Node that made it, under the flags of the commands', () => {
    assert.equal(isTaken(), `rejected false\n${version}\n`);
  });

  test('is not looked at by another Node, even one with the same version of V8', () => {
    assert.equal(isTaken('v20.0.0'), `${version}\n`);
  });

  test('is not looked at when it is older than the bundle', () => {
    utimesSync(cache, 1, 1);
    assert.equal(isTaken(), `${version}\n`);
  });

  test('of something else changes nothing', () => {
    writeFileSync(cache, 'not a code cache');
    assert.equal(isTaken(), `rejected true\n${version}\n`);
    copyFileSync(process.execPath, cache);
    assert.equal(isTaken(), `rejected true\n${version}\n`);
    rmSync(cache);
    assert.equal(run('bin/cfsbridge', '--version'), `${version}\n`);
  });
});
