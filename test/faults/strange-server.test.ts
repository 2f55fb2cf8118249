// A server of another user: it must not get files read that only the client may read.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { makeStore } from '../support/images/made-store.js';

const NOBODY = 65534;
const skip = process.getuid?.() === 0 ? false : 'only root can be another user';

test('files come as descriptors that the server could open, not as names', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'strange-'));
  const graphroot = join(folder, 'store');
  const socket = join(folder, 'socket');
  makeStore(graphroot, [
    {
      name: 'localhost/a:1',
      layers: [
        {
          entries: [
            { name: 'usr/', type: '5', mode: 0o755 },
            { name: 'usr/a', content: Buffer.alloc(1000, 'a') },
          ],
        },
      ],
    },
  ]);
  chmodSync(folder, 0o777);
  const server = spawn(
    process.execPath,
    [fileURLToPath(new URL('../support/faults/serve.program.js', import.meta.url)), graphroot, socket],
    { stdio: ['ignore', 'pipe', 'inherit'], uid: NOBODY, gid: NOBODY },
  );
  try {
    await once(server.stdout, 'data');
    initRepository(join(folder, 'repository'), { insecure: true });
    using repository = await Repository.open(join(folder, 'repository'), { write: true });
    await using source = await openSplitfdstreamImage(socket, 'localhost/a:1');
    assert.equal(source.trusted, false);
    await using layer = await source.layers[0]!.open();
    const kinds = new Set<string>();
    for await (const batch of layer) {
      for (const chunk of batch) {
        kinds.add(chunk.kind);
        if (chunk.kind === 'fd') chunk.fd.close();
      }
    }
    assert.deepEqual([...kinds].sort(), ['bytes', 'fd']);
    assert.equal((await pullImage(repository, source)).layers.length, 1);
  } finally {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'close');
    rmSync(folder, { recursive: true });
  }
});
