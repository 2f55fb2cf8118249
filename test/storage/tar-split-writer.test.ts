import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TarSplitParser } from '../../src/storage/tar-split.js';
import { TarSplitWriter } from '../../src/storage/tar-split-writer.js';

/** Of 64 bytes `b`, as Go's hash/crc64 has it. */
const CRC = 'S419S419fX0=';

// What podman's own program wrote for such names.
const NAMES: [name: string, line: string][] = [
  ['./etc/hostname', '"name":"./etc/hostname"'],
  ['"quoted" \\ <&>', '"name":"\\"quoted\\" \\\\ \\u003c\\u0026\\u003e"'],
  ['line\nbreak\ttab', '"name":"line\\nbreak\\ttab"'],
  [Buffer.from('ü\u2028').toString('latin1'), `"name":"${Buffer.from('ü').toString('latin1')}\\u2028"`],
  ['opt/\xe9te', '"name_raw":"b3B0L+l0ZQ=="'],
];

for (const [name, line] of NAMES)
  test(`a file called ${JSON.stringify(name)}`, () => {
    const writer = new TarSplitWriter();
    assert.equal(writer.segment().join('aGVhZA=='), '{"type":2,"payload":"aGVhZA==","position":0}\n');
    const text = writer.file(name, 64).join(CRC);
    assert.equal(text, `{"type":1,${line},"size":64,"payload":"${CRC}","position":1}\n`);
    assert.equal(writer.file(name, 0).join(''), `{"type":1,${line},"payload":null,"position":2}\n`);
    const parser = new TarSplitParser('test', (found, size) => ({
      kind: 'bytes',
      bytes: Buffer.from(`${found} ${size}`, 'latin1'),
    }));
    const chunks = [...parser.push(Buffer.from(text, 'latin1')), ...parser.finish()];
    assert.deepEqual(
      chunks.map((chunk) => chunk.kind === 'bytes' && chunk.bytes.toString('latin1')),
      [`${name.replace(/^\.\//, '')} 64`],
    );
  });
