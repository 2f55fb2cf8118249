import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listLines } from '../../src/cli/composefs-info/list.js';
import { parseDump } from '../../src/erofs/dumpfile/parse.js';
import { printDump } from '../../src/erofs/dumpfile/print.js';
import { readErofs, type StoredInode } from '../../src/erofs/read/reader.js';
import { printStored } from '../../src/erofs/dumpfile/stored-print.js';
import { writeErofs } from '../../src/erofs/write/writer.js';
import type { Node } from '../../src/tree/tree.js';
import { randomDump } from '../support/images/random-dump.js';
import { fixtureJson } from '../support/fixtures.js';
import { mountedAs } from './mounted-tree.js';

const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
const inPeers = fileURLToPath(new URL('../../../scripts/in-peers.sh', import.meta.url));

/** Seeds that once failed are tried in every run. */
const { seeds: known } = fixtureJson<{ seeds: number[] }>('erofs/random-seeds.json');
const FIRST = Number(process.env['CFSBRIDGE_SEED'] ?? 1);
const BATCH = 125;
const BATCHES = 16;
const LARGE = [20_000, 17_000, 9_000];

function whyNoPeer(): string | false {
  if (!existsSync(join(peers, 'sid/usr/bin/mkcomposefs')))
    return 'mkcomposefs is not there; scripts/peers.sh installs it';
  return process.getuid?.() === 0 ? false : 'running programs of the Debian sid tree needs root';
}

/** A tree of one run: its name in the folder, and how to make it again. */
interface Tree {
  name: string;
  seed: number;
  entries?: number;
}

describe('images of random trees', { skip: whyNoPeer() }, () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(peers, 'share/erofs-'))));
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string): Buffer => readFileSync(join(folder, name));

  /** Every program runs over all trees in one go: starting it is most of the time. */
  function runPeers(trees: readonly Tree[]): void {
    const names = trees.map(({ name }) => name).join(' ');
    const both = (tool: string, suffix: string): string =>
      `for v in 0 1; do ${tool} --min-version=$v --max-version=$v --from-file $i.dump $i.${suffix}$v; done`;
    const options = { stdio: ['ignore', 'ignore', 'inherit'] as 'ignore'[] };
    const inside = `cd /share/${basename(folder)}; for i in ${names}; do ${both('mkcomposefs', 'c')}
      for v in 0 1; do composefs-info dump $i.ours$v > $i.cinfo$v; composefs-info ls $i.ours$v > $i.cls$v; done
      for v in 0 1 2; do fsck.erofs $i.ours$v; done; done; set -- ${names}; dump.erofs -s $1.ours1; dump.erofs -s $1.ours2`;
    execFileSync(inPeers, ['sh', '-euc', inside], options);
    const rust = join(peers, 'bin');
    const outside = `cd ${folder}; for i in ${names}; do ${both(`${rust}/mkcomposefs`, 'rust')}
      for v in 0 1 2; do ${rust}/composefs-info dump $i.ours$v > $i.rinfo$v; done; done`;
    execFileSync('sh', ['-euc', outside], options);
  }

  function prepare(trees: readonly Tree[]): void {
    for (const { name, seed, entries } of trees) {
      const dump = randomDump(seed, entries);
      writeFileSync(join(folder, `${name}.dump`), dump);
      const root = parseDump(dump);
      for (const version of [0, 1, 2] as const) {
        writeFileSync(join(folder, `${name}.ours${version}`), writeErofs(root, { version, algorithm: 'sha256' }));
      }
    }
  }

  function check({ name }: Tree): void {
    const root = parseDump(file(`${name}.dump`));
    for (const version of [0, 1, 2] as const) {
      const ours = file(`${name}.ours${version}`);
      const { root: read } = readErofs(ours);
      assert.ok(
        writeErofs(read, { version, algorithm: 'sha256' }).equals(ours),
        `read and written again as format ${version}`,
      );
      assert.equal(
        Buffer.concat([...printDump(read)]).toString(),
        file(`${name}.rinfo${version}`).toString(),
        `composefs-info of composefs-rs, format ${version}`,
      );
      if (version === 2) continue;
      assert.ok(ours.equals(file(`${name}.rust${version}`)), `as composefs-rs, format ${version}`);
      const c = file(`${name}.c${version}`);
      assert.ok(
        writeErofs(root, { version, algorithm: 'sha256', writer: 'composefs' }).equals(c),
        `as C, format ${version}`,
      );
      const stored = new Map<Node, StoredInode>();
      const asC = readErofs(ours, { writer: 'composefs', stored });
      assert.equal(
        [...printStored(asC.root, stored)].join(''),
        file(`${name}.cinfo${version}`).toString('latin1'),
        `composefs-info of C, format ${version}`,
      );
      assert.equal(
        [...listLines(asC.root)].join(''),
        file(`${name}.cls${version}`).toString('latin1'),
        `composefs-info ls of C, format ${version}`,
      );
      // What C prints of an image makes that image again.
      const again = writeErofs(parseDump(file(`${name}.cinfo${version}`)), {
        version,
        algorithm: 'sha256',
        writer: 'composefs',
      });
      assert.ok(again.equals(ours), `C's dump of format ${version}`);
    }
  }

  function run(trees: readonly Tree[]): void {
    prepare(trees);
    runPeers(trees);
    const failed: string[] = [];
    for (const tree of trees) {
      try {
        check(tree);
      } catch (error) {
        failed.push(
          `seed ${tree.seed}${tree.entries === undefined ? '' : ` with ${tree.entries} entries`}: ` +
            `${String(error).split('\n', 1)[0]}`,
        );
      }
    }
    // The next trees get the same names.
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    assert.deepEqual(failed, [], 'add these seeds to fixtures/erofs/random-seeds.json');
  }

  for (let batch = 0; batch < BATCHES; batch += 1) {
    const first = FIRST + batch * BATCH;
    test(`seeds ${first} to ${first + BATCH - 1}`, () =>
      run(Array.from({ length: BATCH }, (_, index) => ({ name: String(index), seed: first + index }))));
  }
  test(`trees of up to ${LARGE[0]} entries, and seeds that failed once`, () => {
    const large = LARGE.map((entries, index) => ({ name: `large${index}`, seed: FIRST + index, entries }));
    run([...large, ...known.map((seed) => ({ name: String(seed), seed }))]);
  });

  for (const version of [0, 1, 2] as const) {
    test(`the kernel shows the tree of format ${version}`, () => {
      for (let seed = FIRST; seed < FIRST + 5; seed += 1) {
        const root = parseDump(randomDump(seed));
        const image = join(folder, 'mounted');
        writeFileSync(image, writeErofs(root, { version, algorithm: 'sha256' }));
        assert.deepEqual(mountedAs(image, root, version), [], `seed ${seed}`);
      }
    });
  }
});
