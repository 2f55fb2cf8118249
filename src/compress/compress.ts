import binding from 'zstd-napi/binding.js';
import type { Compression } from './decompress.js';
import { gzip } from './gzip.js';
import { zstd } from './zstd-thread.js';

/** How to compress; without a level, as most programs do. */
export interface CompressionChoice {
  compression: Compression;
  level?: number | undefined;
}

interface Compressor {
  run: (pieces: AsyncIterable<Buffer>, level: number) => AsyncIterable<Buffer>;
  levels: { least: number; usual: number; most: number };
  /** changes with everything that may change the bytes */
  version: string;
}

const COMPRESSORS: Readonly<Record<Exclude<Compression, 'none'>, Compressor>> = {
  gzip: {
    run: gzip,
    levels: { least: 1, usual: 6, most: 9 },
    // What zlib writes depends on the instructions that the processor has.
    version: `zlib ${process.versions.zlib} ${process.arch}`,
  },
  zstd: { run: zstd, levels: { least: 1, usual: 3, most: 19 }, version: `libzstd ${binding.versionString()}` },
};

/** The levels that a compression has; undefined where there is nothing to choose. */
export function compressionLevels(compression: Compression): Compressor['levels'] | undefined {
  return compression === 'none' ? undefined : COMPRESSORS[compression].levels;
}

/**
 * Compresses on other threads than this one, in constant memory. The same bytes come out each time, however the
 * pieces are cut.
 */
export function compress(
  pieces: AsyncIterable<Buffer>,
  { compression, level }: CompressionChoice,
): AsyncIterable<Buffer> {
  if (compression === 'none') return pieces;
  const { run, levels } = COMPRESSORS[compression];
  return run(pieces, level ?? levels.usual);
}

/** Names the bytes that come out of a compression: two that are equal make the same of the same. */
export function compressionName({ compression, level }: CompressionChoice): string {
  if (compression === 'none') return 'none';
  const { levels, version } = COMPRESSORS[compression];
  return `${compression} ${level ?? levels.usual} ${version}`;
}
