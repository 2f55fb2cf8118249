// The other end is Python's socket module, an implementation of descriptor passing that shares nothing with ours.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Fd, listen, type SocketType } from '../../src/fd/fd-passing.js';
import { withoutLeak } from '../support/open-fds.js';

const folder = mkdtempSync(join(tmpdir(), 'foreign-'));
after(() => rmSync(folder, { recursive: true }));

const program = `
import os, socket, sys
kind, path, folder = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == 'stream' else socket.SOCK_SEQPACKET)
s.connect(path)
data, fds, flags, _ = socket.recv_fds(s, 1000, 253)
texts = [os.pread(fd, 100, 0).decode() for fd in fds]
open(folder + '/answer', 'w').write(' '.join(texts))
fd = os.open(folder + '/answer', os.O_RDONLY)
socket.send_fds(s, [data.upper()], [fd, *fds])
`;
const python = spawnSync('python3', ['-c', 'import socket; socket.send_fds']).status === 0;

for (const type of ['stream', 'seqpacket'] satisfies SocketType[])
  test(`${type}: descriptors to and from Python`, {
    skip: python ? false : 'python3 with socket.send_fds (3.9) is not installed',
  }, async () => {
    await withoutLeak(async () => {
      const path = join(folder, type);
      using listener = await listen(path, { type });
      const child = spawn('python3', ['-c', program, type, path, folder], { stdio: 'inherit' });
      const exit = once(child, 'exit');
      using connection = await listener.accept();
      const files = ['one', 'two', 'three'].map((text) => {
        writeFileSync(join(folder, text), text);
        return new Fd(openSync(join(folder, text), 'r'));
      });
      await connection.send(Buffer.from('greetings'), files);
      const { bytes, fds } = (await connection.receive())!;
      assert.equal(bytes.toString(), 'GREETINGS');
      assert.deepEqual(
        fds.map((fd) => readFileSync(`/proc/self/fd/${fd.number}`, 'latin1')),
        ['one two three', 'one', 'two', 'three'],
      );
      for (const fd of [...files, ...fds]) fd.close();
      assert.equal(await connection.receive(), undefined);
      assert.deepEqual(await exit, [0, null]);
    });
  });
