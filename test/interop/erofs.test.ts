import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseDump } from '../../src/erofs/dumpfile-parse.js';
import { printDump } from '../../src/erofs/dumpfile-print.js';
import { readErofs } from '../../src/erofs/reader.js';
import { writeErofs } from '../../src/erofs/writer.js';
import { randomDump } from '../erofs/random-dump.js';

const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
const inPeers = fileURLToPath(new URL('../../../scripts/in-peers.sh', import.meta.url));
const SEEDS = Array.from({ length: 25 }, (_, index) => index + 1);

function whyNoPeer(): string | false {
  if (!existsSync(join(peers, 'sid/usr/bin/mkcomposefs'))) return 'mkcomposefs is not there; scripts/peers.sh installs it';
  return process.getuid?.() === 0 ? false : 'running programs of the Debian sid tree needs root';
}

describe('images of random trees', { skip: whyNoPeer() }, () => {
  let folder: string;
  const inside = (script: string): void =>
    void execFileSync(inPeers, ['sh', '-euc', `cd /share/${basename(folder)}; ${script}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  before(() => {
    folder = mkdtempSync(join(peers, 'share/erofs-'));
    for (const seed of SEEDS) {
      const dump = randomDump(seed);
      writeFileSync(join(folder, `${seed}.dump`), dump);
      for (const version of [0, 1, 2] as const) {
        writeFileSync(join(folder, `${seed}.ours${version}`), writeErofs(parseDump(dump), { version, algorithm: 'sha256' }));
      }
    }
    inside(`for i in ${SEEDS.join(' ')}; do
      for v in 0 1; do mkcomposefs --min-version=$v --max-version=$v --from-file $i.dump $i.c$v; done
      composefs-info dump $i.ours1 > $i.c-dump
      for v in 0 1 2; do fsck.erofs $i.ours$v; done
    done`);
  });
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string): Buffer => readFileSync(join(folder, name));

  for (const seed of SEEDS) {
    test(`tree ${seed}`, () => {
      const dump = file(`${seed}.dump`);
      for (const version of [0, 1] as const) {
        const options = { version, algorithm: 'sha256' } as const;
        assert.ok(writeErofs(parseDump(dump), { ...options, peer: 'composefs' }).equals(file(`${seed}.c${version}`)), `as C, ${version}`);
        const rust = join(folder, `${seed}.rust${version}`);
        execFileSync(join(peers, 'bin/mkcomposefs'), [`--min-version=${version}`, `--max-version=${version}`, '--from-file', join(folder, `${seed}.dump`), rust]);
        assert.ok(file(`${seed}.ours${version}`).equals(readFileSync(rust)), `as composefs-rs, ${version}`);
        assert.ok(writeErofs(readErofs(readFileSync(rust)).root, options).equals(readFileSync(rust)), `read and written again, ${version}`);
      }
    });
    test(`tree ${seed}: what both composefs-info print of it`, () => {
      for (const version of [0, 1, 2] as const) {
        const image = join(folder, `${seed}.ours${version}`);
        const dump = execFileSync(join(peers, 'bin/composefs-info'), ['dump', image], { maxBuffer: 2 ** 28 }).toString();
        assert.equal(Buffer.concat([...printDump(readErofs(readFileSync(image)).root)]).toString(), dump);
      }
      const fromC = writeErofs(parseDump(file(`${seed}.c-dump`)), { version: 1, algorithm: 'sha256', peer: 'composefs' });
      assert.ok(fromC.equals(file(`${seed}.ours1`)));
    });
  }
});
