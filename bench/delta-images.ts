// Two images of which the second is an update of the first, the same bytes every time: 400 MB in four layers, of whose
// files one in twenty has changed, some of them in a folder that has another name.
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Layout, type LayerOfImage } from '../test/support/images/source-layout.js';
import { END, header, padded } from '../test/support/layers/make-tar.js';
import { Random } from '../test/support/random.js';
import { contentOf, sizeOf, words } from './file-contents.js';

const LAYERS = 4;
const LAYER_BYTES = 100e6;
const FILES_PER_FOLDER = 50;
/** One file of so many has changed. */
const CHANGED = 20;
/** And one folder of so many has another name, with all that is in it. */
const RENAMED = 25;
const compressed = promisify(gzip);

/** Writes `old` and `new` to an OCI layout. @param folder does not exist */
export async function makeDeltaImages(folder: string): Promise<void> {
  const layout = new Layout(folder);
  const images: Record<'old' | 'new', LayerOfImage[]> = { old: [], new: [] };
  for (let layer = 0; layer < LAYERS; layer++) {
    const tars = { old: [] as Buffer[], new: [] as Buffer[] };
    addFiles(tars, layer);
    for (const name of ['old', 'new'] as const) {
      const tar = Buffer.concat([...tars[name], END]);
      const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' };
      images[name].push({ tar, blob: await compressed(tar, { level: 6 }), descriptor });
    }
  }
  layout.publish({ old: layout.image(images.old), new: layout.image(images.new) });
}

function addFiles(tars: { old: Buffer[]; new: Buffer[] }, layer: number): void {
  const random = new Random(layer + 1);
  let folder = { old: '', new: '' };
  for (const name of ['usr/', `usr/layer-${layer}/`])
    for (const tar of Object.values(tars)) tar.push(header({ name, type: '5', mode: 0o755 }));
  for (let bytes = 0, count = 0; bytes < LAYER_BYTES; count++) {
    if (count % FILES_PER_FOLDER === 0) {
      const number = count / FILES_PER_FOLDER;
      const old = `usr/layer-${layer}/folder-${number}`;
      folder = { old, new: number % RENAMED === RENAMED - 1 ? `${old}-again` : old };
      for (const name of ['old', 'new'] as const)
        tars[name].push(header({ name: `${folder[name]}/`, type: '5', mode: 0o755 }));
    }
    const size = sizeOf(random);
    bytes += size;
    const content = contentOf(`${layer} ${count}`, size);
    tars.old.push(header({ name: `${folder.old}/file-${count}`, size }), padded(content));
    const now = count % CHANGED === CHANGED - 1 ? updated(content, random) : content;
    tars.new.push(header({ name: `${folder.new}/file-${count}`, size: now.length }), padded(now));
  }
}

/** A fifth is new. What is put in moves the rest; in half of them there are other addresses, too. */
function updated(old: Buffer, random: Random): Buffer {
  const content = Buffer.from(old);
  contentOf(`${random.upTo(1e9)}`, Math.ceil(old.length / 5)).copy(content, random.upTo(old.length));
  const parts: Buffer[] = [];
  const step = Math.ceil(content.length / (1 + random.upTo(8)));
  for (let at = 0; at < content.length; at += step)
    parts.push(content.subarray(at, at + step), Buffer.from(words(20 + random.upTo(400), `${random.upTo(1e9)}`)));
  const changed = Buffer.concat(parts);
  if (random.upTo(1) === 1)
    for (let at = 500; at < changed.length; at += 1000) changed[at] = ((changed[at] as number) + 3) & 0xff;
  return changed;
}
