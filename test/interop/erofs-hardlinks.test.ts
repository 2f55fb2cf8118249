import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listLines } from '../../src/cli/composefs-info/list.js';
import { parseDump } from '../../src/erofs/dumpfile/parse.js';
import { readErofs, type StoredInode } from '../../src/erofs/read/reader.js';
import { printStored } from '../../src/erofs/dumpfile/stored-print.js';
import { writeErofs } from '../../src/erofs/write/writer.js';
import type { Node } from '../../src/tree/tree.js';
import { randomLinks } from './random-links.js';

const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
const inPeers = fileURLToPath(new URL('../../../scripts/in-peers.sh', import.meta.url));
const TREES = 200;
const FIRST = Number(process.env['CFSBRIDGE_SEED'] ?? 1);

function whyNoPeer(): string | false {
  if (!existsSync(join(peers, 'sid/usr/bin/mkcomposefs')))
    return 'mkcomposefs is not there; scripts/peers.sh installs it';
  return process.getuid?.() === 0 ? false : 'running programs of the Debian sid tree needs root';
}

describe('hardlinks that name any inode', { skip: whyNoPeer() }, () => {
  test(`${TREES} images written by C are read as C reads them`, () => {
    const folder = mkdtempSync(join(peers, 'share/erofs-links-'));
    try {
      for (let index = 0; index < TREES; index += 1)
        writeFileSync(join(folder, `${index}.dump`), randomLinks(FIRST + index));
      const inside = `cd /share/${basename(folder)}; for i in $(seq 0 ${TREES - 1}); do mkcomposefs --from-file $i.dump $i.image
        composefs-info dump $i.image > $i.info; composefs-info ls $i.image > $i.ls; done`;
      execFileSync(inPeers, ['sh', '-euc', inside], { stdio: ['ignore', 'ignore', 'inherit'] });
      let links = 0;
      for (let index = 0; index < TREES; index += 1) {
        const [dump, image, info, ls] = ['dump', 'image', 'info', 'ls'].map((name) =>
          readFileSync(join(folder, `${index}.${name}`)),
        ) as [Buffer, Buffer, Buffer, Buffer];
        const seed = `seed ${FIRST + index}`;
        assert.ok(
          writeErofs(parseDump(dump), { version: 0, algorithm: 'sha256', writer: 'composefs' }).equals(image),
          `image, ${seed}`,
        );
        const stored = new Map<Node, StoredInode>();
        const { root } = readErofs(image, { writer: 'composefs', stored });
        assert.equal([...printStored(root, stored)].join(''), info.toString('latin1'), `dump, ${seed}`);
        assert.equal([...listLines(root)].join(''), ls.toString('latin1'), `ls, ${seed}`);
        links += info.toString('latin1').split(' @').length - 1;
      }
      assert.ok(links > 10 * TREES, `${links} hardlinks`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
