/** Header fields that a test wants other than an ordinary file's; numbers are written as octal, strings as they are. */
export interface Fields {
  name?: string;
  mode?: number | string | Buffer;
  uid?: number | string | Buffer;
  gid?: number | string | Buffer;
  size?: number | string | Buffer;
  mtime?: number | string | Buffer;
  type?: string;
  link?: string;
  magic?: string;
  major?: number | string | Buffer;
  minor?: number | string | Buffer;
  prefix?: string;
}

const LAYOUT: [field: keyof Fields, offset: number, length: number, usual: number | string][] = [
  ['name', 0, 100, 'file'],
  ['mode', 100, 8, 0o644],
  ['uid', 108, 8, 0],
  ['gid', 116, 8, 0],
  ['size', 124, 12, 0],
  ['mtime', 136, 12, 0],
  ['type', 156, 1, '0'],
  ['link', 157, 100, ''],
  ['magic', 257, 8, 'ustar\x0000'],
  ['major', 329, 8, 0],
  ['minor', 337, 8, 0],
  ['prefix', 345, 155, ''],
];

export function header(fields: Fields = {}): Buffer {
  const block = Buffer.alloc(512);
  for (const [field, offset, length, usual] of LAYOUT) {
    const value = fields[field] ?? usual;
    if (Buffer.isBuffer(value)) value.copy(block, offset);
    else
      block.write(
        typeof value === 'number' ? value.toString(8).padStart(length - 1, '0') : value,
        offset,
        length,
        'latin1',
      );
  }
  return signed(block);
}

/** Puts the right checksum in. */
export function signed(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

export function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

/** An extension record and its padding: type x, g, L or K. */
export function extension(type: string, data: string | Buffer): Buffer {
  const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data, 'latin1');
  return Buffer.concat([header({ name: 'extension', type, size: bytes.length }), padded(bytes)]);
}

export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`.length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length++;
  return `${length} ${key}=${value}\n`;
}

export function pax(records: Record<string, string>): Buffer {
  return extension(
    'x',
    Object.entries(records)
      .map(([key, value]) => paxRecord(key, value))
      .join(''),
  );
}

export const END = Buffer.alloc(1024);
