import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { TemporaryFolder } from '../support/filesystems.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

describe('what oci layer and cat write', () => {
  const folder = new TemporaryFolder();
  const repository = join(folder.path, 'repository');
  const layer = ['--repo', repository, 'oci', 'layer'];
  let tar: Buffer;
  let diffId: string;
  before(() => {
    mkdirSync(join(folder.path, 'files'));
    for (const size of [0, 10, 1000, 70_000, 3_000_001])
      writeFileSync(join(folder.path, 'files', String(size)), randomBytes(size));
    tar = spawnSync('tar', ['-C', join(folder.path, 'files'), '-c', '.'], { maxBuffer: 1 << 24 }).stdout;
    diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
    assert.equal(runCli(['init', '--insecure', repository]).status, 0);
    assert.equal(runCli(['--repo', repository, 'oci', 'import-layer', diffId], { input: tar }).status, 0);
  });
  after(() => folder[Symbol.dispose]());

  const shell = (script: string): ReturnType<typeof spawnSync> =>
    spawnSync('bash', ['-c', script, 'bash', cfsbridge, ...layer, diffId], { maxBuffer: 1 << 24 });

  for (const [where, script] of [
    ['a pipe', '"$@" | cat'],
    ['a file', '"$@" > "$4/out"; cat "$4/out"'],
    ['the end of a file', 'rm -f "$4/out"; "$@" >> "$4/out"; cat "$4/out"'],
    [
      'a socket',
      'python3 -c "import ' +
        'socket,subprocess,sys,threading\na,b=socket.socketpair()\np=subprocess.Popen(sys.argv[1:],stdout=b)\nb.close()\nwhile d:=a.recv(1<<16): sys.stdout.buffer.write(d)" "$@"',
    ],
    ['cat, too', 'd=${@: -1}; "$1" --repo "$3" cat "oci-layer-$d" | cat'],
  ] as const)
    it(`is the layer: ${where}`, () => {
      const { stdout, stderr, status } = shell(script.replaceAll('$4/', `${folder.path}/`));
      assert.equal(stderr.toString(), '');
      assert.equal(status, 0);
      assert.ok(tar.equals(stdout as Buffer));
    });

  it('ends without a word when the reader has enough', () => {
    const { stdout, stderr } = shell('"$@" | head -c 1000; echo " ${PIPESTATUS[0]}"');
    assert.equal(stderr.toString(), '');
    assert.match(stdout.toString('latin1'), / 141\n$/);
  });

  it('says that the disk is full', () => {
    const { stderr, status } = shell('"$@" > /dev/full');
    assert.match(stderr.toString(), /^Error: cannot write to standard output: no space left on device\n$/);
    assert.equal(status, 1);
  });

  it('stops at Ctrl-C while nobody reads', async () => {
    const child: ChildProcess = spawn(cfsbridge, [...layer, diffId], { stdio: ['ignore', 'pipe', 'pipe'] });
    const exit = once(child, 'exit');
    // What is read ahead is little: the pipe stays full.
    await once(child.stdout as Readable, 'readable');
    await setTimeout(100);
    child.kill('SIGINT');
    assert.deepEqual(await exit, [130, null]);
  });

  it('names an object that is missing, is no file or has lost its end', () => {
    const objects = join(repository, 'objects');
    const path = readdirSync(objects, { recursive: true, encoding: 'utf8' })
      .map((name) => join(objects, name))
      .find((name) => statSync(name).size === 70_000) as string;
    const id = path.slice(objects.length + 1).replace('/', '');
    const content = readFileSync(path);
    const run = (): ReturnType<typeof spawnSync> =>
      spawnSync(cfsbridge, [...layer, diffId], { stdio: ['ignore', 'ignore', 'pipe'] });
    const complains = (about: RegExp): void => {
      const { status, stderr } = run();
      assert.match(stderr.toString(), about);
      assert.equal(status, 1);
    };
    chmodSync(path, 0o644);
    truncateSync(path, 69_999);
    complains(/^Error: the stream has \d+ bytes, and its parts \d+: an object of it is damaged; fsck tells which\n$/);
    rmSync(path);
    complains(new RegExp(`^Error: object ${id} is missing; pull the image again\n`));
    mkdirSync(path);
    complains(new RegExp(`^Error: object ${id}: content must be in a regular file; fsck tells more\n$`));
    rmSync(path, { recursive: true });
    writeFileSync(path, content);
    assert.equal(run().status, 0);
  });
});
