import { Compressor } from 'zstd-napi';

/**
 * A zstd frame that has the raw content of a file as its dictionary.
 * @param windowLog binary logarithm of the window, in bytes
 */
export function dictionaryFrame(source: Uint8Array, content: Uint8Array, windowLog = 23): Buffer {
  const compressor = new Compressor();
  compressor.setParameters({ compressionLevel: 3, windowLog, enableLongDistanceMatching: true });
  // A byte before it hides what would mark a trained dictionary. Distances are counted from the end.
  if (source.length > 0) compressor.loadDictionary(Buffer.concat([Buffer.of(0), source]));
  return compressor.compress(content);
}
