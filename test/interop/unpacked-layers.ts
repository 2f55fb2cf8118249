import { END, extension, header, padded, pax, type Fields } from '../support/layers/make-tar.js';

const data = (length: number, text = 'content '): Buffer => Buffer.alloc(length, text);
const directory = (name: string, fields: Fields = {}): Buffer => header({ name, type: '5', mode: 0o755, ...fields });
const link = (name: string, target: string, type: '1' | '2' = '1', fields: Fields = {}): Buffer =>
  header({ name, link: target, type, ...fields });

function file(name: string, content: Buffer = data(100), fields: Fields = {}): Buffer {
  return Buffer.concat([header({ name, size: content.length, ...fields }), padded(content)]);
}

const tar = (...parts: Buffer[]): Buffer => Buffer.concat([...parts, END]);
const xattrs = (all: Record<string, string>): Buffer =>
  pax(Object.fromEntries(Object.entries(all).map(([name, value]) => [`SCHILY.xattr.${name}`, value])));
const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('latin1');
/** Owner rwx, one more user, group, mask, others. */
const ACL = Buffer.from(
  '0200000001000700ffffffff020005006400000004000500ffffffff10000500ffffffff20000500ffffffff',
  'hex',
);

/** Single layers, each with something that is easily unpacked in another way. */
export const unpackedLayers: Record<string, Buffer> = {
  'owners, and modes with all bits': tar(
    directory('d/', { mode: 0o3755, uid: 7, gid: 8 }),
    file('d/setuid', data(200), { mode: 0o4755, uid: 1000, gid: 1001 }),
    file('d/setgid', data(20), { mode: 0o2711, uid: 0, gid: 5 }),
    file('d/empty', data(0), { mode: 0o7777, uid: 4_000_000, gid: 3 }),
    file('d/none', data(3), { mode: 0 }),
    link('d/symlink', 'none', '2', { uid: 12, gid: 13, mode: 0o600 }),
    header({ name: 'd/fifo', type: '6', mode: 0o4622, uid: 3, gid: 4, mtime: 77 }),
  ),
  devices: tar(
    header({ name: 'null', type: '3', mode: 0o666, major: 1, minor: 3, mtime: 9 }),
    header({ name: 'disk', type: '4', mode: 0o660, gid: 6, major: 8, minor: 17 }),
    header({ name: 'many', type: '3', mode: 0o600, major: 4095, minor: 1_048_575 }),
    header({ name: 'zero', type: '3', mode: 0o644, uid: 3 }),
  ),
  'what it says of its root': tar(directory('./', { mode: 0o1750, uid: 9, gid: 10, mtime: 1000 }), file('./f')),
  'what it says of a root called /': tar(directory('/', { mode: 0o1751, uid: 9, gid: 10, mtime: 1000 }), file('./f')),
  'xattrs of its root': tar(xattrs({ 'user.of': 'root', 'trusted.t': 't' }), directory('./'), file('f')),
  xattrs: tar(
    xattrs({ 'user.a': 'b', 'security.capability': CAPABILITY, 'trusted.overlay.redirect': '/x' }),
    file('f', data(200), { mode: 0o755, uid: 5 }),
    xattrs({ 'user.binary': '\0\xff\n=', 'user.empty': '' }),
    directory('d/'),
    xattrs({ 'trusted.of': 'a link' }),
    link('d/l', '../f', '2'),
    xattrs({ 'trusted.of': 'a device' }),
    header({ name: 'd/null', type: '3', mode: 0o666, major: 1, minor: 3 }),
    xattrs({ 'system.posix_acl_access': ACL.toString('latin1') }),
    file('acl', data(70), { mode: 0o755 }),
    xattrs({ 'user.on': 'a hardlink' }),
    link('d/hard', 'f'),
  ),
  'a label of SELinux': tar(xattrs({ 'security.selinux': 'system_u:object_r:bin_t:s0\0' }), file('labelled')),
  'an xattr that a symlink cannot have': tar(xattrs({ 'user.of': 'a link' }), link('l', 'x', '2')),
  'an xattr with a name that nobody knows': tar(xattrs({ 'odd.name': 'x' }), file('f')),
  'hardlinks that change what they name': tar(
    file('a', data(500), { mode: 0o644, mtime: 100 }),
    link('b', 'a', '1', { mode: 0o4711, uid: 3, gid: 4, mtime: 200 }),
    link('symlink', 'a', '2', { mtime: 300 }),
    link('other', 'symlink', '1', { mode: 0o600, uid: 8, mtime: 400 }),
    header({ name: 'fifo', type: '6', mtime: 500 }),
    link('pipe', '/fifo', '1', { mode: 0o640, mtime: 600 }),
  ),
  'a hardlink to itself': tar(file('a'), link('a', 'a')),
  'a hardlink to nothing': tar(link('a', 'b')),
  'a hardlink to a folder': tar(directory('d/'), link('a', 'd')),
  'a hardlink above the root': tar(file('a'), link('d/b', '../../a')),
  'a hardlink through a file': tar(file('a'), link('b', 'a/c')),
  'names above the root': tar(file('../up'), file('d/../../over'), directory('../'), file('/../abs')),
  'names that are others': tar(file('d/./a'), file('d//b'), file('./c/'), directory('e/f/..'), file('g/../h')),
  'the same name of other kinds': tar(
    file('a'),
    directory('a/', { mode: 0o700 }),
    file('a/b/c/d/e'),
    link('a/l', 'b', '2'),
    file('a', data(3)),
    link('a', 'elsewhere', '2'),
    header({ name: 'a', type: '6' }),
    file('a', data(300), { mode: 0o711 }),
  ),
  'a folder twice': tar(
    directory('d/', { mode: 0o700, uid: 1, mtime: 10 }),
    file('d/kept'),
    directory('d/', { mode: 0o751, uid: 2, mtime: 20 }),
  ),
  'a file twice': tar(file('f', data(200), { mode: 0o4755, uid: 3 }), file('f', data(10, 'other'), { mode: 0o600 })),
  'a folder that a symlink replaces': tar(
    directory('d/'),
    directory('e/'),
    file('d/x'),
    link('d', 'e', '2'),
    file('d/y'),
  ),
  'a folder above that a file replaces': tar(directory('d/'), directory('d/e/', { mtime: 5 }), file('d')),
  'missing folders': tar(file('a/b/c'), directory('a/b/', { mode: 0o700, mtime: 1 })),
  'missing folders behind links': tar(
    link('dangling', 'x/y', '2'),
    file('dangling/z/f'),
    link('up', '../../../u', '2'),
    file('up/f'),
    link('abs', '/v/./w/..', '2'),
    file('abs/g/h'),
  ),
  'a link to itself on the way': tar(link('l', 'l', '2'), file('l/f')),
  'a file on the way': tar(file('f'), file('f/g')),
  'a folder below a link': tar(directory('d/', { mtime: 3 }), link('l', 'd', '2'), directory('l/e/', { mtime: 4 })),
  'a whiteout without a name': tar(file('.wh.', data(0))),
  'a whiteout of a dot': tar(file('.wh..', data(0))),
  'a whiteout of two dots': tar(file('d/.wh...', data(0))),
  'whiteouts with owners, content and of other kinds': tar(
    file('.wh.a', data(0), { uid: 5, gid: 6, mode: 0o4777, mtime: 8 }),
    file('d/.wh.b', data(200), { uid: 50, gid: 51 }),
    directory('.wh.c/'),
    link('.wh.d', 'x', '2'),
    file('.wh..wh.plnk', data(0)),
    file('e/.wh..wh..opq', data(30), { uid: 52 }),
  ),
  'a whiteout twice': tar(file('.wh.a', data(0)), file('.wh.a', data(0))),
  'a whiteout, and its file': tar(file('.wh.a', data(0)), file('a')),
  'marks below whiteouts': tar(file('.wh.a', data(0)), file('a/.wh.b', data(0)), file('a/b/.wh.c', data(0))),
  'names for JSON': tar(
    file('"quoted" \\ <&>', data(70)),
    file('line\nbreak\ttab\x7f', data(70)),
    file(Buffer.from('\u2028ü\u{1f600}').toString('latin1'), data(70)),
    file('\xff\xfe', data(70)),
  ),
  times: tar(
    directory('d/', { mtime: 123 }),
    pax({ mtime: '1000.5', atime: '2000.25' }),
    file('accessed', data(70)),
    pax({ mtime: '3000', atime: '2000' }),
    file('accessed before', data(70)),
    pax({ mtime: '9223372036.9' }),
    file('last', data(70)),
    pax({ mtime: '9223372037' }),
    file('later', data(70)),
    pax({ mtime: '-5', atime: '7' }),
    file('before 1970', data(70)),
    pax({ mtime: '-5.5' }),
    link('link', 'x', '2'),
    pax({ mtime: '12', atime: '14.000000001' }),
    link('accessed link', 'x', '2'),
  ),
  'long names': tar(
    extension('L', `${'long/'.repeat(50)}file\0`),
    file('short'),
    extension('K', `${'target/'.repeat(60)}\0`),
    link('l', 'cut', '2'),
    pax({ path: `${'p'.repeat(250)}/${'q'.repeat(250)}` }),
    file('short'),
  ),
  'an extension between': tar(pax({ comment: 'nothing' }), extension('L', 'name\0'), file('x', data(5))),
  'much at the end': Buffer.concat([tar(file('f')), Buffer.alloc(5_000_000)]),
  nothing: END,
};
