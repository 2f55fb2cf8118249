import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { verityDigestOfFd } from '../../src/fsverity/digest.js';
import { noise } from '../support/random.js';

const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
const inPeers = fileURLToPath(new URL('../../../scripts/in-peers.sh', import.meta.url));

function whyNoPeer(): string | false {
  if (!existsSync(join(peers, 'sid/usr/bin/fsverity')))
    return 'fsverity-utils are not there; scripts/peers.sh installs them';
  return process.getuid?.() === 0 ? false : 'running programs of the Debian sid tree needs root';
}

describe('fsverity digest', { skip: whyNoPeer() }, () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(peers, 'share/verity-'))));
  after(() => rmSync(folder, { recursive: true }));

  for (const size of [0, 1, 4096, 4097, 123_457, 262_145, 1_048_577, 20_000_003]) {
    test(`${size} bytes`, async () => {
      const path = join(folder, `${size}`);
      writeFileSync(path, noise(size, 'peer'));
      using fd = openPath(bytesOf(path));
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const visible = `/share/${basename(folder)}/${size}`;
        const printed = execFileSync(inPeers, ['fsverity', 'digest', `--hash-alg=${algorithm}`, visible], {
          encoding: 'utf8',
        });
        const digest = await verityDigestOfFd(fd, algorithm);
        assert.equal(`${algorithm}:${digest.toString('hex')}`, printed.split(' ')[0]);
      }
    });
  }
});
