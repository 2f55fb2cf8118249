import type { Algorithm } from '../../fsverity/object-id.js';

export type ErofsVersion = 0 | 1 | 2;

/**
 * Which program's image comes out where the two that write composefs images differ: `composefs` (the C library,
 * mkcomposefs) or `composefs-rs` (cfsctl). See docs/erofs.md for the differences.
 */
export type Writer = 'composefs' | 'composefs-rs';

export interface WriteOptions {
  version: ErofsVersion;
  /** Algorithm of all object ids in the tree. */
  algorithm: Algorithm;
  /** Default `composefs-rs`, the only one that knows format 2. */
  writer?: Writer;
}
