import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const ENTRIES = 40_000;
const PER_FOLDER = 40;

/** Text of a dumpfile like one of a Linux system: labelled, two thirds of the entries are objects. */
export function makeDump(): string {
  const label = (type: string): string => ` security.selinux=system_u:object_r:${type}:s0\\x00`;
  const lines = [`/ 0 40755 2 0 0 0 1700000000.0 - - -${label('root_t')}`];
  for (let folder = 0; lines.length < ENTRIES; folder += 1) {
    const path = `/dir${String(folder).padStart(4, '0')}`;
    lines.push(`${path} 0 40755 2 0 0 0 ${1700000000 + folder}.0 - - -${label('usr_t')}`);
    for (let file = 0; file < PER_FOLDER && lines.length < ENTRIES; file += 1) {
      const time = `${1700000000 + ((folder * 7 + file) % 1000)}.0`;
      if (file % 10 === 0)
        lines.push(`${path}/link${file} 12 120777 1 0 0 0 ${time} ../target${file} - -${label('lib_t')}`);
      else if (file % 10 < 3)
        lines.push(`${path}/small-${file}.conf 20 100644 1 0 0 0 ${time} - ${'x'.repeat(20)} -${label('etc_t')}`);
      else {
        const id = createHash('sha256').update(`${folder}:${file}`).digest('hex');
        lines.push(
          `${path}/file-${file}.so ${1000 + file * 977} 100755 1 0 0 0 ${time} ${id.slice(0, 2)}/${id.slice(2)} ` +
            `- ${id}${label('lib_t')}`,
        );
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Fills a new folder with files like those of a Linux system: mostly a few KiB, some tiny, a few large. */
export function makeFolder(path: string): void {
  const content = Buffer.alloc(64 << 10, 'some content that is not all the same ');
  for (let file = 0; file < ENTRIES; file += 1) {
    const folder = join(path, `dir${Math.floor(file / PER_FOLDER)}`);
    if (file % PER_FOLDER === 0) mkdirSync(folder, { recursive: true });
    content.writeUInt32LE(file, 0);
    writeFileSync(
      join(folder, `file${file}`),
      content.subarray(0, [40, 700, 2500, 4000, 9000, 64 << 10][(file * 7) % 6]!),
    );
  }
}
