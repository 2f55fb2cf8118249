// A filesystem with one file, `f`, whose server stops once that is open. Arguments: where to mount it, the length of
// the file; `link`: it is a symlink.
import { constants, openSync, readSync, writeSync } from 'node:fs';
import { bytesOf } from '../../src/bytes.js';
import { Fd, openPath } from '../../src/fd/fd.js';
import { FsContext, mounts } from '../../src/mount/fs-context.js';

const OPEN = 14;
const FILE = 2;
const LENGTH = Number(process.argv[3]);
const IS_LINK = process.argv[4] === 'link';
const device = openSync('/dev/fuse', 'r+');
// Not before the kernel has been answered once is the mount of any use; the calls below do not wait for that.
const context = new FsContext('fuse', 'the kernel has no FUSE');
for (const [key, value] of Object.entries({ fd: String(device), rootmode: '40755', user_id: '0', group_id: '0' }))
  context.set(key, value);
context.set('allow_other', undefined);
const mount: Fd = context.mount(false, {});
mounts.moveMount(mount.number, openPath(bytesOf(process.argv[2]!), constants.O_DIRECTORY).number);
process.stdout.write('mounted\n');

const request = Buffer.alloc(1 << 20);
for (;;) {
  readSync(device, request, 0, request.length, null);
  const opcode = request.readUInt32LE(4),
    unique = request.readBigUInt64LE(8),
    node = Number(request.readBigUInt64LE(16));
  const reply = answer(opcode, node, request.readBigUInt64LE(48));
  if (reply === undefined) continue;
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + (typeof reply === 'number' ? 0 : reply.length), 0);
  if (typeof reply === 'number') header.writeInt32LE(-reply, 4);
  header.writeBigUInt64LE(unique, 8);
  writeSync(device, typeof reply === 'number' ? header : Buffer.concat([header, reply]));
  // What it had taken and not answered could not even be killed.
  if (opcode === OPEN) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/**
 * @param offset of READDIR
 * @returns bytes, an errno, or nothing at all
 */
function answer(opcode: number, node: number, offset: bigint): Buffer | number | undefined {
  const ENOSYS = 38;
  switch (opcode) {
    case 1: // LOOKUP
      return Buffer.concat([numbers(8, FILE, 0, 3600, 3600), Buffer.alloc(8), attributes(FILE)]);
    case 3: // GETATTR
      return Buffer.concat([numbers(8, 3600), Buffer.alloc(8), attributes(node)]);
    case OPEN: {
      // FOPEN_NOFLUSH: otherwise the kernel itself would wait for an answer at the end of whatever process has the file
      // open.
      const open = Buffer.alloc(16);
      open.writeUInt32LE(1 << 5, 8);
      return open;
    }
    case 5: // READLINK
      return Buffer.from('target');
    case 28: {
      // READDIR
      if (offset > 0n) return Buffer.alloc(0);
      const entry = numbers(8, FILE, 1, 1, 0);
      entry.write('f', 24);
      return entry;
    }
    case 27: // OPENDIR
      return Buffer.alloc(16);
    case 26: {
      // INIT
      const init = Buffer.alloc(64);
      init.writeUInt32LE(7, 0);
      init.writeUInt32LE(35, 4);
      init.writeUInt32LE(1 << 17, 20);
      return init;
    }
    case 2: // FORGET
      return undefined;
    default:
      return ENOSYS;
  }
}

function attributes(node: number): Buffer {
  const [file, directory] = [IS_LINK ? 0o120777 : 0o100644, 0o40755];
  const attributes = Buffer.alloc(88);
  numbers(8, node, node === FILE ? LENGTH : 0).copy(attributes);
  attributes.writeUInt32LE(node === FILE ? file : directory, 60);
  attributes.writeUInt32LE(1, 64);
  return attributes;
}

function numbers(_size: 8, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), 8 * index));
  return bytes;
}
