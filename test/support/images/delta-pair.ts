// Two images of which the second is an update of the first.
import { gzipSync } from 'node:zlib';
import { END, header, padded } from '../layers/make-tar.js';
import { noise, Random } from '../random.js';
import type { Layout, LayerOfImage } from './source-layout.js';

const app = noise(300_000, 'app');
const module = noise(200_000, 'module');
const same = noise(100_000, 'same');
/** What zstd takes for a trained dictionary, where it looks. */
const odd = Buffer.concat([Buffer.from([0x37, 0xa4, 0x30, 0xec]), noise(50_000, 'odd')]);

/** A tar; names that end with a slash are folders. */
export function layerTar(entries: readonly (readonly [name: string, content?: Buffer | { link: string }])[]): Buffer {
  const parts = entries.flatMap(([name, content]) => {
    if (content === undefined) return [header({ name, type: '5', mode: 0o755 })];
    if (!Buffer.isBuffer(content)) return [header({ name, type: '1', link: content.link })];
    return [header({ name, size: content.length }), padded(content)];
  });
  return Buffer.concat([...parts, END]);
}

/** The same with some bytes put in between, so that everything behind them moves. */
export function withInsertions(bytes: Buffer, count: number): Buffer {
  const step = Math.ceil(bytes.length / (count + 1));
  const parts = [];
  for (let at = 0, n = 0; at < bytes.length; at += step)
    parts.push(bytes.subarray(at, at + step), Buffer.from(`put in here: ${n++}`));
  return Buffer.concat(parts);
}

/** The same with single bytes changed, as the addresses in moved code are. */
function withOtherBytes(bytes: Buffer, every: number): Buffer {
  const changed = Buffer.from(bytes);
  for (let at = every; at < changed.length; at += every) changed[at] = ((changed[at] as number) + 7) & 0xff;
  return changed;
}

/** Text of words in no order: gzip at its best is better than zstd at its quickest. */
export function words(count: number): Buffer {
  const random = new Random(11);
  return Buffer.from(Array.from({ length: count }, () => `word${random.upTo(5000)}`).join(' '));
}

const shared: LayerOfImage = {
  tar: layerTar([['usr/'], ['usr/share/'], ['usr/share/shared', noise(80_000, 'shared')]]),
};

function gzipped(tar: Buffer): LayerOfImage {
  return {
    tar,
    blob: gzipSync(tar, { level: 9 }),
    descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' },
  };
}

/** Publishes `old` and `new` in a layout. */
export function publishPair(layout: Layout): void {
  const folders = [['usr/'], ['usr/bin/'], ['usr/lib/'], ['usr/lib/modules/']] as const;
  const before = layerTar([
    ...folders,
    ['usr/bin/app', app],
    ['usr/bin/odd', odd],
    ['usr/lib/modules/6.1/'],
    ['usr/lib/modules/6.1/a.ko', module],
    ['usr/lib/modules/6.1/b.ko', noise(60_000, 'b')],
    ['usr/lib/same', same],
    ['usr/lib/gone', noise(5000, 'gone')],
    ['usr/lib/small', Buffer.from('some bytes')],
  ]);
  const after = layerTar([
    ...folders,
    ['usr/bin/app', withOtherBytes(app, 997)],
    ['usr/bin/odd', withInsertions(odd, 5)],
    ['usr/bin/link', { link: 'usr/bin/app' }],
    ['usr/lib/modules/6.2/'],
    ['usr/lib/modules/6.2/a.ko', withInsertions(module, 20)],
    ['usr/lib/modules/6.2/b.ko', Buffer.alloc(0)],
    ['usr/lib/renamed', same],
    ['usr/lib/new', noise(20_000, 'new')],
    ['usr/lib/small', Buffer.from('other bytes')],
    ['usr/lib/.wh.gone', Buffer.alloc(0)],
  ]);
  layout.publish({
    old: layout.image([shared, gzipped(before)]),
    new: layout.image([shared, gzipped(after), gzipped(layerTar([['etc/'], ['etc/words', words(3000)]]))]),
  });
}
