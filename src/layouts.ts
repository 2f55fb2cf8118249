// The numbers and places of what this side and the addon hand each other as bytes. native/base/layouts.h has the same,
// under the same names, and says what is behind each; test/native/layouts.test.ts compares them.

/**
 * Operations on a layer; parts are of the first three kinds only, those of a pump also ranges. Entries only of what
 * unpacks a layer.
 */
export const OPERATION = {
  bytes: 0,
  named: 1,
  open: 2,
  memory: 3,
  dataBegin: 4,
  data: 5,
  dataEnd: 6,
  range: 7,
  entry: 8,
  digest: 9,
  deflated: 10,
  deflatedFile: 11,
  text: 12,
  segment: 13,
  checksum: 14,
} as const;
/** Size of a part that may have any. */
export const ANY_SIZE = 0xffff_ffff_ffff_ffffn;
/** Content that the addon inflates has so many bytes at most. */
export const INFLATABLE = 0x80000n;

/** What is made of an entry that is unpacked. */
export const ENTRY_KIND = {
  file: 0,
  hardlink: 1,
  symlink: 2,
  char: 3,
  block: 4,
  directory: 5,
  fifo: 6,
  whiteout: 7,
  opaque: 8,
  nothing: 9,
} as const;
/** How the content of a file came to be where a layer was unpacked. */
export const CONTENT_WAY = { cloned: 0, copied: 1, inline: 2, none: 3 } as const;

/** What a patch consists of. */
export const PATCH_OPERATION = { raw: 0, content: 1, changed: 2 } as const;

/** What became of a file of a layer. */
export const OUTCOME = {
  hashed: 0,
  reflinked: 1,
  hardlinked: 2,
  copied: 3,
  present: 4,
  small: 5,
  unshareable: 6,
  digest: 7,
} as const;

/** Where in the result of one file what is. */
export const RESULT_AT = { outcome: 0, length: 1, content: 2, end: 66 } as const;

/** Where in the head of a scanned name what is. */
export const SCAN_AT = {
  parent: 0,
  number: 4,
  mode: 8,
  uid: 12,
  gid: 16,
  rdev: 20,
  mtimeSec: 24,
  mtimeNsec: 32,
  size: 36,
  dev: 44,
  ino: 52,
  data: 60,
  nameLength: 61,
  dataLength: 63,
  xattrsLength: 67,
  end: 71,
} as const;
/** What the data of a scanned name is. */
export const SCAN_DATA = { none: 0, inline: 1, digest: 2, target: 3, link: 4 } as const;
/** Which xattrs are read. */
export const XATTR_CHOICE = { none: 0, user: 1, all: 2 } as const;

/** What is wrong with an object. */
export const DEFECT = { open: 0, verity: 1, noVerity: 2, mismatch: 3, unsafe: 4 } as const;

/** How far a pump has come. */
export const PUMP_STATE = { done: 0, full: 1, leased: 2 } as const;

/** Results of calls on sockets that are no errors. */
export const SOCKET_RESULT = {
  wouldBlock: -1,
  controlTruncated: -2,
  packetTruncated: -3,
  tooManyInFlight: -4,
} as const;
/** What a socket can be waited for; bits. */
export const INTEREST = { read: 1, write: 2 } as const;
