import type { Algorithm } from '../repository/object-id.js';

export type FormatVersion = 0 | 1 | 2;

/**
 * Which program's image comes out where the two that write composefs images differ: `composefs` (the C library,
 * mkcomposefs) or `composefs-rs` (cfsctl). See docs/erofs.md for the differences.
 */
export type Peer = 'composefs' | 'composefs-rs';

export interface WriteOptions {
  version: FormatVersion;
  /** Algorithm of all object ids in the tree. */
  algorithm: Algorithm;
  /** Default `composefs-rs`, the only one that knows format 2. */
  peer?: Peer;
}
