// Copies an image of one store into another one, as the user of both: `node copy-image.program.js FROM NAME TO`.
import { openStorageImage } from '../../src/oci/source/storage.js';
import { openStoreForWriting } from '../../src/userns/open-store-for-writing.js';

const [from = '', name = '', to = ''] = process.argv.slice(2);

await using source = await openStorageImage(name, { graphroot: from });
await using store = await openStoreForWriting({ graphroot: to });
let topLayer: string | undefined;
const layers = [];
for (const layer of source.layers) {
  const { diffId } = layer;
  const put = await store.putLayer(await layer.open(), { parent: topLayer, diffId });
  topLayer = put.id;
  layers.push(put);
}
const { manifest, config } = source;
const { id, existed } = await store.putImage({ manifest, config, topLayer, names: [name] });
const found = await store.findLayer({ diffId: source.layers[0]!.diffId });
process.stdout.write(JSON.stringify({ id, existed, layers, found }));
