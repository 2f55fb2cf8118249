/*
 * splitdirfdstream: chunks until the end of the file, each a type byte and its fields, little endian. The tar is the
 * concatenation of their bytes. See proto/splitdirfdstream.md.
 */

/** u32 length, then tar bytes that are no file content. */
export const METADATA = 0;
/** u32 length, then the whole content of one file. */
export const INLINE_DATA = 1;
/** u64 content length, u32 directory slot, u32 name length, then the name of the file with the content. */
export const FILE_BACKED_DATA = 2;

/** Type byte and length of METADATA and INLINE_DATA. */
export const BYTES_HEADER_SIZE = 5;
/** Type byte and fixed fields of FILE_BACKED_DATA. */
export const FILE_HEADER_SIZE = 17;

/** Only between processes of ours, at the end: u32 length, and JSON of the blob that the tar came out of. */
export const PACKED_BLOB = 0xff;
/** Bytes of that JSON. */
export const PACKED_BLOB_LENGTH = 1024;
