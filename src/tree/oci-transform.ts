import type { ByteString } from '../bytes.js';
import { NO_XATTRS, type Directory, type Node, type Xattrs } from './tree.js';

/** Which xattrs an image keeps: `security.capability` only, or `user.*` as well. */
export type XattrMode = 'allowlist-only' | 'keep-user-xattrs';

/**
 * Turns the tree of an image's layers into the tree of its composefs image, in place, as cfsctl 0.9.4 does:
 * the root takes the metadata of `/usr`, `/run` is emptied and gets the mtime of `/usr`, and xattrs that depend on the
 * host (labels, ACLs, overlay marks) go.
 *
 * cfsctl refuses images without a directory `/usr` and images whose `/run` is not a directory. Here the root
 * then keeps its own metadata, whose mtime `/run` gets, and such a `/run` is left as it is.
 */
export function transformForOci(root: Directory, xattrs: XattrMode): void {
  const usr = root.entries.get('usr');
  if (usr?.kind === 'directory') root.setMetadata(usr);
  const run = root.entries.get('run');
  if (run?.kind === 'directory') {
    run.entries.clear();
    run.mtimeSec = root.mtimeSec;
    run.mtimeNsec = root.mtimeNsec;
  }
  filterXattrs(root, xattrs === 'keep-user-xattrs' ? isCapabilityOrUser : isCapability);
}

/** Drops xattrs everywhere in the tree. An inode with several names is simply filtered again. */
function filterXattrs(root: Directory, keep: (name: ByteString) => boolean): void {
  const pending: Directory[] = [root];
  const filter = (node: Node): void => {
    if (node.xattrs.size > 0) node.xattrs = filtered(node.xattrs, keep);
  };
  filter(root);
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const child of directory.entries.values()) {
      filter(child);
      if (child.kind === 'directory') pending.push(child);
    }
  }
}

function filtered(xattrs: Xattrs, keep: (name: ByteString) => boolean): Xattrs {
  const kept = [...xattrs].filter(([name]) => keep(name));
  if (kept.length === xattrs.size) return xattrs;
  return kept.length === 0 ? NO_XATTRS : new Map(kept);
}

function isCapability(name: ByteString): boolean {
  return name === 'security.capability';
}

function isCapabilityOrUser(name: ByteString): boolean {
  return name === 'security.capability' || name.startsWith('user.');
}
