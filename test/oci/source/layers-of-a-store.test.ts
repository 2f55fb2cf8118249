// A server that opens layers of a containers-storage by their ids, as the helper of composefs-rs for user namespaces
// does.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Fd } from '../../../src/fd/fd.js';
import { encodeSplitdirfdstream } from '../../../src/layer/splitdirfdstream-encoder.js';
import { files } from '../../../src/native.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSocketImage } from '../../../src/oci/source/socket.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { Store } from '../../../src/storage/store.js';
import {
  OCI,
  reply,
  scriptedVarlink,
  service,
  type VarlinkScript,
} from '../../support/servers/scripted-varlink-server.js';
import { opened } from '../../support/images/tiny-image.js';
import { openFds } from '../../support/open-fds.js';
import { fastFolder } from '../../support/fast-folder.js';
import { unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';

const IMAGE = 'localhost/alpha:v3';

let folder: string;
let small: SmallStore;
before(() => {
  folder = mkdtempSync(join(fastFolder, 'store-layers-'));
  small = unpackSmallStore(folder);
});
after(() => rmSync(folder, { recursive: true }));

/** Streams of all layers, by id, in files: what is served has to be ready when it is asked for. */
async function writeStreams(): Promise<Map<string, string>> {
  using store = Store.open({ graphroot: small.graphroot });
  const streams = new Map<string, string>();
  for (const { id } of await store.layers(await store.image(IMAGE))) {
    await using layer = await store.layerStream({ id });
    const path = join(folder, id);
    await writeFile(
      path,
      encodeSplitdirfdstream(layer, () => undefined),
    );
    streams.set(id, path);
  }
  return streams;
}

/** Whether no other end of this pipe is open; server and client are this process. */
function isAlone(end: Fd): boolean {
  const open = openFds();
  return [...open.values()].filter((target) => target === open.get(end.number)).length === 1;
}

test('layers are named by the folder of the store and their ids, and let go before the next is asked for', async () => {
  const streams = await writeStreams();
  const asked: string[] = [];
  /** Reading ends of the pipes whose writing ends keep layers in place. */
  const lifetimes: Fd[] = [];
  const script: VarlinkScript = {
    ...service(OCI),
    [`${OCI}.GetInfo`]: () => reply({ features: ['splitdirfdstream-v0', 'source-containers-storage', 'read-only'] }),
    [`${OCI}.GetLayer`]: ({ params }) => {
      const { storage } = params as { storage: { storage_path: string; layer_id: string } };
      assert.equal(storage.storage_path, small.graphroot);
      asked.push(storage.layer_id);
      for (const lifetime of lifetimes)
        assert.ok(isAlone(lifetime), 'a layer is still kept while another is asked for');
      const [reading, writing] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
      lifetimes.push(reading);
      return reply({ dir_count: 0 }, [opened(streams.get(storage.layer_id) as string), writing]);
    },
  };
  await using server = await scriptedVarlink(folder, script);
  await using source = await openSocketImage(
    server.path,
    `containers-storage:[overlay@${small.graphroot}+${folder}/run]${IMAGE}`,
  );
  await using direct = await openStorageImage(IMAGE, { graphroot: small.graphroot });
  const results = [];
  for (const image of [source, direct]) {
    const path = join(folder, `repository-${results.length}`);
    initRepository(path, { insecure: true });
    using repository = await Repository.open(path, { write: true });
    results.push(await pullImage(repository, image));
  }
  assert.deepEqual([...results[0]!.images], [...results[1]!.images]);
  assert.deepEqual(asked, [...streams.keys()]);
  assert.ok(lifetimes.length > 1 && lifetimes.every(isAlone));
  for (const reading of lifetimes) reading.close();
  await assert.rejects(openSocketImage(server.path, IMAGE), /containers-storage:/);
});
