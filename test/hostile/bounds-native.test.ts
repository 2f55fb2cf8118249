// The addon: numbers and buffers that are not what they seem. A library's user may make these mistakes; they must not
// end the process.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initRepository } from '../../src/repository/init.js';
import { attack } from './attack.js';

const LIBRARY = new URL('../../src/index.js', import.meta.url).href;
const FD = new URL('../../src/fd/fd.js', import.meta.url).href;
const NATIVE = new URL('../../src/native.js', import.meta.url).href;

/** Runs code in a process of its own: what is attacked may end it. */
function run(code: string): { status: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', timeout: 60_000 });
}

for (const number of ['2 ** 32 + 1', '2 ** 31', '2 ** 53', '-1', '1.5', 'NaN'])
  attack(`new Fd(${number}) closes nobody's descriptor`, {}, () => {
    const { status, stdout, stderr } = run(`
      import { Fd } from '${FD}';
      try { new Fd(${number}).close(); } catch (error) { console.log('refused:', error.name); }
      console.log('still open');`);
    assert.deepEqual([status, stdout, stderr], [0, 'refused: TypeError\nstill open\n', '']);
    return 'refused: TypeError';
  });

const CALLS = [
  "fstatat(N, '')",
  "openat2(N, '.', 0, 0, 0)",
  "linkFd(N, N, 'x')",
  "symlinkat('x', N, 'x')",
  "renameat2(N, 'x', N, 'y', 0)",
  "unlinkat(N, 'x', 0)",
  "mkdirat(N, 'x', 0)",
  'close(N)',
  'dupCloexec(N)',
  'syncfs(N)',
];

attack('numbers beyond 32 bits in system calls', {}, () => {
  for (const call of CALLS) {
    const { status, stdout } = run(`
      import { files } from '${NATIVE}';
      try { await files.${call.replace(/N/g, '(2 ** 32 + 1)')}; } catch (error) { console.log(error.name, error.code ?? ''); }`);
    assert.deepEqual([status, stdout], [0, 'RangeError \n'], call);
  }
  return `refused by ${CALLS.length} calls`;
});

const BUFFERS = {
  'a resizable buffer that shrinks':
    'const memory = new ArrayBuffer(64 << 20, { maxByteLength: 64 << 20 }); const then = () => memory.resize(0);',
  'a shared buffer':
    'const memory = new SharedArrayBuffer(64 << 20); const then = () => new Uint8Array(memory).fill(1);',
  'a growable shared buffer':
    'const memory = new SharedArrayBuffer(64 << 20, { maxByteLength: 65 << 20 }); const then = () => ' +
    'memory.grow(65 << 20);',
} as const;

for (const [what, code] of Object.entries(BUFFERS))
  attack(`${what} while it is stored`, {}, (t) => {
    const repo = mkdtempSync(join(tmpdir(), 'bounds-native-'));
    t.after(() => rmSync(repo, { recursive: true }));
    initRepository(repo, { insecure: true });
    const { status, signal, stdout } = run(`
      import { Repository } from '${LIBRARY}';
      ${code}
      const repository = await Repository.open('${repo}', { write: true });
      try { const stored = repository.objects.put(new Uint8Array(memory)); then(); console.log(await stored); }
      catch (error) { console.log(error.message); }`);
    assert.deepEqual([status, signal, stdout], [0, null, 'bytes in a shared or resizable buffer: copy them first\n']);
    return 'refused';
  });
