import { END, extension, header, padded, pax, paxRecord, type Fields } from '../support/layers/make-tar.js';

const data = (length: number): Buffer => Buffer.alloc(length, 'content ');
const directory = (name: string): Buffer => header({ name, type: '5', mode: 0o755 });
const usr = directory('usr/');

function file(name: string, content: Buffer = data(100), fields: Fields = {}): Buffer {
  return Buffer.concat([header({ name, size: content.length, ...fields }), padded(content)]);
}

function link(name: string, target: string, type: '1' | '2' = '1'): Buffer {
  return header({ name, link: target, type });
}

/** A number of the mtime field in base 256, which also holds negative ones. */
function base256(value: number): Buffer {
  const field = Buffer.alloc(12);
  field.fill(value < 0 ? 0xff : 0);
  field.writeBigInt64BE(BigInt(value), 4);
  field[0] = value < 0 ? 0xff : 0x80;
  return field;
}

const tar = (...parts: Buffer[]): Buffer => Buffer.concat([...parts, END]);

/** PAX sparse 1.0: the map of the data lies before the data. */
function sparse(): Buffer {
  const map = Buffer.alloc(512);
  map.write('1\n4096\n512\n');
  const records = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'usr/sparse',
    'GNU.sparse.realsize': '8192',
  };
  return Buffer.concat([pax(records), file('usr/GNUSparseFile.1/sparse', Buffer.concat([map, data(512)]))]);
}

const dirtyPadding = file('usr/file');
dirtyPadding.write('not zero', 512 + 100 + 20);

/** Layers, base first, that builders rarely write and stores can hold. */
export const oddLayers = {
  'latin1-names': [
    tar(
      usr,
      file('usr/caf\xe9'),
      pax({ path: `usr/${'\xff'.repeat(200)}` }),
      file('usr/short'),
      link('usr/link', 'caf\xe9', '2'),
    ),
  ],
  'absolute-names': [tar(directory('/usr/'), file('/usr/file'), link('/usr/hard', '/usr/file'))],
  'double-slashes': [tar(usr, directory('usr//dir/'), file('usr//dir//file'), file('./usr/./dot'))],
  'name-255': [
    tar(
      usr,
      pax({ path: `usr/${'n'.repeat(255)}` }),
      file('usr/short'),
      pax({ path: `usr/${'\u00fc'.repeat(127)}x`.replace(/\u00fc/g, '\xc3\xbc') }),
      file('usr/other'),
    ),
  ],
  times: [
    tar(
      usr,
      file('usr/before-1970', data(70), { mtime: base256(-86_400) }),
      file('usr/after-2106', data(71), { mtime: base256(5_000_000_000) }),
      pax({ mtime: '-1.25' }),
      file('usr/pax-before-1970', data(72)),
      pax({ mtime: '4102444800.123456789' }),
      file('usr/pax-after-2038', data(73)),
    ),
  ],
  'dirty-padding': [tar(usr, dirtyPadding, file('usr/next'))],
  'trailing-garbage': [
    Buffer.concat([tar(usr, file('usr/file')), Buffer.alloc(1024), Buffer.from('garbage'.repeat(300))]),
  ],
  'no-end': [Buffer.concat([usr, file('usr/file')])],
  'no-end-short': [Buffer.concat([usr, header({ name: 'usr/file', size: 100 }), data(100)])],
  'global-header': [tar(extension('g', paxRecord('comment', 'for all')), usr, file('usr/file', data(100), { uid: 5 }))],
  'hard-links': [
    tar(
      usr,
      file('usr/a', data(500), { mode: 0o4755 }),
      link('usr/b', 'usr/a'),
      link('usr/sym', 'a', '2'),
      link('usr/sym-hard', 'usr/sym'),
    ),
    tar(usr, file('usr/b', data(90))),
  ],
  whiteouts: [
    tar(
      usr,
      file('usr/gone'),
      file('usr/kept'),
      directory('usr/opaque/'),
      file('usr/opaque/gone'),
      directory('usr/tree/'),
      file('usr/tree/gone'),
    ),
    tar(
      usr,
      file('usr/.wh.gone', data(0)),
      directory('usr/opaque/'),
      file('usr/opaque/.wh..wh..opq', data(0)),
      file('usr/opaque/new'),
      file('usr/.wh.tree', data(0)),
    ),
  ],
  'no-parents': [tar(usr, file('usr/a/b/file'))],
  'no-usr': [tar(directory('bin/'), file('bin/tool'))],
  'docker-manifest': [tar(usr, file('usr/docker', data(120)))],
  'pax-sparse': [tar(usr, sparse())],
  'sized-links': [
    tar(
      header({ name: 'usr/', type: '5', mode: 0o755, size: 4096 }),
      file('usr/file'),
      header({ name: 'usr/link', link: 'file', type: '2', size: 100 }),
      header({ name: 'usr/hard', link: 'usr/file', type: '1', size: 100 }),
      file('usr/next'),
    ),
  ],
} satisfies Record<string, Buffer[]>;

export type OddImage = keyof typeof oddLayers;
