import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compile, compileExamples, pageExamples } from '../support/examples.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  bin: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
};

const bundles = ['commands', 'mkcomposefs', 'pull', 'commits', 'remote', 'proxy', 'completion'].map(
  (name) => `dist/cli/${name}.cjs`,
);

describe('the package', () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), 'cfsbridge-package-'))));
  after(() => rmSync(folder, { recursive: true }));

  function run(command: string, args: string[], cwd: string): string {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    return stdout;
  }

  test('packed from a checkout where nothing was built, it holds what it promises', () => {
    const checkout = join(folder, 'checkout');
    for (const name of ['package.json', 'tsconfig.json', 'bin', 'src', 'scripts', 'README.md'])
      cpSync(join(root, name), join(checkout, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
    run('npm', ['pack', '--silent'], checkout);
    const archive = readdirSync(checkout).find((name) => name.endsWith('.tgz'))!;
    const packed = new Set(run('tar', ['tzf', archive], checkout).split('\n'));
    const promised = [
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap((target) =>
        typeof target === 'string' ? target : Object.values(target),
      ),
    ];
    for (const file of [...promised, ...bundles]) assert.ok(packed.has(join('package', normalize(file))), file);
  });

  // npm links commands. pnpm writes scripts that start the program of the first line, with its arguments and the
  // command's path.
  for (const [name, file] of Object.entries(manifest.bin))
    test(`${name} starts as pnpm starts it`, () => {
      const [, program, args] = /^#!\s*(?:\/usr\/bin\/env(?:\s+-S)?\s+)?(\S+)(.*)\n/.exec(
        readFileSync(join(root, file), 'utf8'),
      )!;
      const { stdout, stderr } = spawnSync(
        program!,
        [...args!.split(' ').filter((word) => word !== ''), join(root, file)],
        { encoding: 'utf8' },
      );
      assert.match(stdout + stderr, new RegExp(`^usage: ${name} `, 'im'));
    });

  test('installed without its install script, it says what is missing', () => {
    const installed = join(folder, 'not-built');
    for (const name of ['package.json', 'bin', 'dist/src', 'dist/cli'])
      cpSync(join(root, name), join(installed, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
    for (const file of [...Object.values(manifest.bin), 'dist/src/cli/main.js']) {
      const { status, stderr } = spawnSync(process.execPath, [join(installed, file), 'x'], { encoding: 'utf8' });
      assert.match(
        stderr,
        /Error: the native addon cannot be loaded: Cannot find module .*; the package's install script makes it/,
      );
      assert.notEqual(status, 0);
      if (file.startsWith('bin/')) assert.equal(stderr.split('\n').length, 2, stderr);
    }
  });

  test('what the documentation says to programs is right in TypeScript, with nothing set up but the package', () => {
    const consumer = join(folder, 'consumer');
    const examples = pageExamples();
    assert.ok(examples.length > 6);
    compileExamples(consumer, examples);
    writeFileSync(
      join(consumer, 'required.cts'),
      `import { parseDump } from 'composefs-bridge';\nexport const root = parseDump(Buffer.from(''));\n`,
    );
    compile(consumer, ['--noEmit', '--module', 'nodenext', '--target', 'es2022', '--strict', 'required.cts']);
  });

  test('a CommonJS program can require it', () => {
    const code =
      `console.log(typeof require('composefs-bridge').parseDump, typeof ` +
      `require('composefs-bridge/fd-passing').listen, require('composefs-bridge/package.json').name)`;
    assert.equal(run(process.execPath, ['-e', code], root).trim(), 'function function composefs-bridge');
  });
});
