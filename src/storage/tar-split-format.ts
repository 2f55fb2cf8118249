/**
 * tar-split: the recipe of a byte-exact tar, one JSON object per line. A segment (type 2) is tar bytes in base64;
 * a file (type 1) stands for `size` bytes of the named file, whose CRC-64 is its payload. Format: vbatts/tar-split,
 * tar/storage/entry.go. These are the parts of a line as Go's encoder writes it.
 */
export const TAR_SPLIT = {
  segment: '{"type":2,"payload":"',
  file: '{"type":1,"name":"',
  /** of a name that is not UTF-8, in base64 */
  rawName: '{"type":1,"name_raw":"',
  size: ',"size":',
  noPayload: ',"payload":null',
  payload: ',"payload":"',
  position: ',"position":',
  end: '}',
} as const;
