// Things that machines boot, as far as anybody looks into them.

const DOS_STUB = 0x80;
const HEADER = 24;
const OPTIONAL = 32;
const SECTION = 40;

/** An EFI program with these sections, by name. */
export function efiProgram(sections: Record<string, string | Buffer>): Buffer {
  const names = Object.keys(sections);
  const table = Buffer.alloc(SECTION * names.length);
  const stub = Buffer.alloc(DOS_STUB);
  stub.write('MZ', 0, 'latin1');
  stub.writeUInt32LE(DOS_STUB, 0x3c);
  const header = Buffer.alloc(HEADER + OPTIONAL);
  header.write('PE\0\0', 0, 'latin1');
  header.writeUInt16LE(names.length, 6);
  header.writeUInt16LE(OPTIONAL, 20);
  const parts = [stub, header, table];
  let offset = stub.length + header.length + table.length;
  for (const [index, name] of names.entries()) {
    const content = Buffer.from(sections[name] as string, 'latin1');
    const at = index * SECTION;
    table.write(name.padEnd(8, '\0'), at, 'latin1');
    table.writeUInt32LE(content.length, at + 8);
    table.writeUInt32LE(content.length + 9, at + 16);
    table.writeUInt32LE(offset, at + 20);
    parts.push(content, Buffer.alloc(9));
    offset += content.length + 9;
  }
  return Buffer.concat(parts);
}

/** An Android boot image's header, and nothing after it. */
export function androidHeader({ version = 2, pageSize = 4096, headerSize = 1660 } = {}): Buffer {
  const header = Buffer.alloc(1660);
  header.write('ANDROID!', 0, 'latin1');
  header.writeUInt32LE(pageSize, 36);
  header.writeUInt32LE(version, 40);
  header.writeUInt32LE(headerSize, 1644);
  return header;
}
