// Layers that do something to those below them, or to paths of their own. The unit tests give them to `LayerTree`, the
// tests with real programs to podman.
//
// `name/` is a directory of mode 0700, `name -> target` a symlink, `name = target` a hard link, anything else a file.

export interface LayerCase {
  what: string;
  layers: string[][];
  /** every name of the image; those of directories nobody described have an `!` at the end */
  names: string[];
  /** the same with cfsctl's order of marks, where that differs */
  cfsctl?: string[];
  late?: string;
  /**
   * what podman 5.8 does, if it does not show the same: it cannot unpack the layers, or shows something else, and why
   * that is not ours
   */
  podman?: 'cannot' | `other: ${string}`;
}

const base = ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'key'];

export const marks: LayerCase[] = [
  {
    what: 'an opaque mark after a file',
    layers: [base, ['d/', 'd/new', 'd/.wh..wh..opq']],
    names: ['d/', 'd/new', 'key'],
    cfsctl: ['d/', 'key'],
    late: 'd/.wh..wh..opq',
  },
  {
    what: 'an opaque mark before a file',
    layers: [base, ['d/', 'd/.wh..wh..opq', 'd/new']],
    names: ['d/', 'd/new', 'key'],
  },
  {
    what: 'an opaque mark between files',
    layers: [base, ['d/', 'd/a', 'd/.wh..wh..opq', 'd/b']],
    names: ['d/', 'd/a', 'd/b', 'key'],
    cfsctl: ['d/', 'd/b', 'key'],
    late: 'd/.wh..wh..opq',
  },
  {
    what: 'a whiteout after its file',
    layers: [base, ['key', '.wh.key']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'key'],
    cfsctl: ['d/', 'd/old', 'd/sub/', 'd/sub/old'],
    late: '.wh.key',
    podman: 'cannot',
  },
  {
    what: 'a whiteout before its file',
    layers: [base, ['.wh.key', 'key']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'key'],
  },
  {
    what: 'a whiteout before a folder of its name',
    layers: [base, ['.wh.d', 'd/', 'd/new']],
    names: ['d/', 'd/new', 'key'],
    podman:
      'other: with overlay the folder takes the place of the mark, and what it hid is there again; with vfs it is gone',
  },
  {
    what: 'a whiteout after a file of the folder',
    layers: [base, ['d/new', '.wh.d']],
    names: ['d/!', 'd/new', 'key'],
    cfsctl: ['key'],
    late: '.wh.d',
    podman: 'cannot',
  },
  {
    what: 'a whiteout before a file of the folder',
    layers: [base, ['.wh.d', 'd/new']],
    names: ['d/!', 'd/new', 'key'],
    podman: 'cannot',
  },
  {
    what: 'an opaque mark, and a file in a folder below',
    layers: [base, ['d/', 'd/.wh..wh..opq', 'd/sub/new']],
    names: ['d/', 'd/sub/!', 'd/sub/new', 'key'],
  },
  {
    what: 'the same in the other order',
    layers: [base, ['d/', 'd/sub/new', 'd/.wh..wh..opq']],
    names: ['d/', 'd/sub/!', 'd/sub/new', 'key'],
    cfsctl: ['d/', 'key'],
    late: 'd/.wh..wh..opq',
  },
  {
    what: 'an opaque root',
    layers: [base, ['new', '.wh..wh..opq']],
    names: ['new'],
    cfsctl: [],
    late: '.wh..wh..opq',
    podman: 'other: the kernel does not look for the mark in the root of a layer',
  },
  {
    what: 'marks in the lowest layer',
    layers: [['a', '.wh.a', 'b/', 'b/c', 'b/.wh..wh..opq', 'x/.wh.y']],
    names: ['a', 'b/', 'b/c'],
    cfsctl: ['b/'],
    late: '.wh.a',
    podman: 'cannot',
  },
  {
    what: 'a file that a higher layer hides',
    layers: [base, ['key', '.wh.key'], ['.wh.key']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old'],
    late: '.wh.key',
    podman: 'cannot',
  },
  {
    what: 'marks where lower layers have nothing',
    layers: [base, ['e/.wh.f', 'd/sub/x/.wh..wh..opq', '.wh.g']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'key'],
    podman: 'other: folders that were made for marks stay',
  },
  {
    what: 'a mark below a folder that is hidden, too',
    layers: [base, ['d/.wh.old', '.wh.d']],
    names: ['key'],
    podman: 'cannot',
  },
  {
    what: 'a mark in a folder of which everything is hidden',
    layers: [base, ['d/sub/.wh.old', 'd/.wh..wh..opq', 'd/new']],
    names: ['d/', 'd/new', 'key'],
    podman: 'other: folders that were made for marks stay',
  },
  {
    what: 'a mark, and a file beside what it hides',
    layers: [base, ['d/', 'd/.wh.old', 'd/new']],
    names: ['d/', 'd/new', 'd/sub/', 'd/sub/old', 'key'],
  },
  {
    what: 'a mark below a new folder with other files',
    layers: [base, ['n/x/.wh.y', 'n/z']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'key', 'n/!', 'n/z'],
    podman: 'other: folders that were made for marks stay',
  },
  {
    what: 'a hard link to what a later mark hides',
    layers: [base, ['link = key', '.wh.key']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'link'],
    podman: 'cannot',
  },
  {
    what: 'a hard link that a mark would hide',
    layers: [base, ['key = d/old', '.wh.key']],
    names: ['d/', 'd/old', 'd/sub/', 'd/sub/old', 'key'],
    cfsctl: ['d/', 'd/old', 'd/sub/', 'd/sub/old'],
    late: '.wh.key',
    podman: 'cannot',
  },
];

export const folders: LayerCase[] = [
  {
    what: 'a symlink of a lower layer gives way',
    layers: [['usr/', 'usr/lib/', 'lib -> usr/lib'], ['lib/plugin.so']],
    names: ['lib/!', 'lib/plugin.so', 'usr/', 'usr/lib/'],
  },
  { what: 'a file of a lower layer gives way', layers: [['b'], ['b/c/d']], names: ['b/!', 'b/c/!', 'b/c/d'] },
  {
    what: 'a described folder of a lower layer stays what it is',
    layers: [['b/'], ['b/c/d']],
    names: ['b/', 'b/c/!', 'b/c/d'],
    podman: 'other: the folder gets mode 0755; cfsctl keeps what it was',
  },
  {
    what: 'a mark below a symlink of a lower layer',
    layers: [['usr/', 'usr/x', 'lib -> usr'], ['lib/.wh.x']],
    names: ['lib/!', 'usr/', 'usr/x'],
  },
  {
    what: 'a symlink of the same layer is followed',
    layers: [['usr/', 'usr/lib/', 'lib -> usr/lib', 'lib/plugin.so']],
    names: ['lib -> usr/lib', 'usr/', 'usr/lib/', 'usr/lib/plugin.so'],
  },
  {
    what: 'an absolute one starts at the root',
    layers: [['a/', 'usr/', 'usr/lib/', 'a/lib -> /usr/lib', 'a/lib/x']],
    names: ['a/', 'a/lib -> /usr/lib', 'usr/', 'usr/lib/', 'usr/lib/x'],
  },
  {
    what: 'no link leads out of the root',
    layers: [['usr/', 'usr/lib/', 'lib -> ../../usr/./lib/../lib/', 'lib/x']],
    names: ['lib -> ../../usr/./lib/../lib/', 'usr/', 'usr/lib/', 'usr/lib/x'],
  },
  {
    what: 'a link through a link',
    layers: [['usr/', 'usr/lib/', 'usr/lib64 -> lib', 'l -> usr/lib64', 'l/x/y']],
    names: ['l -> usr/lib64', 'usr/', 'usr/lib/', 'usr/lib/x/!', 'usr/lib/x/y', 'usr/lib64 -> lib'],
  },
  { what: 'a link to the root', layers: [['l -> /', 'l/x/y']], names: ['l -> /', 'x/!', 'x/y'] },
  {
    what: 'a link that a folder replaces',
    layers: [['usr/', 'l -> usr', 'l/', 'l/x']],
    names: ['l/', 'l/x', 'usr/'],
    podman: 'cannot',
  },
  {
    what: 'a link that another link replaces',
    layers: [['a/', 'b/', 'l -> a', 'l/x', 'l -> b', 'l/y']],
    names: ['a/', 'a/x', 'b/', 'b/y', 'l -> b'],
    podman: 'cannot',
  },
  {
    what: 'a hard link through a link',
    layers: [['usr/', 'usr/f', 'l -> usr', 'l/h = l/f']],
    names: ['l -> usr', 'usr/', 'usr/f', 'usr/h'],
  },
  {
    what: 'a mark through a link',
    layers: [
      ['usr/', 'usr/f'],
      ['usr/', 'l -> usr', 'l/.wh.f'],
    ],
    names: ['l -> usr', 'usr/'],
  },
  {
    what: 'a whole chain of 40',
    layers: [['t/', ...Array.from({ length: 40 }, (_, i) => `${i + 1} -> ${i === 0 ? 't' : i}`), '40/x']],
    names: [...Array.from({ length: 40 }, (_, i) => `${i + 1} -> ${i === 0 ? 't' : i}`), 't/', 't/x'].sort(),
  },
  {
    what: 'a file that becomes a folder in one layer hides the folder below, as in cfsctl',
    layers: [
      ['d/', 'd/old'],
      ['d', 'd/', 'd/new'],
    ],
    names: ['d/', 'd/new'],
    podman: 'cannot',
  },
];
