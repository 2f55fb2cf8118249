/** Xattrs by which composefs images speak to overlayfs. Source: the kernel's overlayfs and composefs. */

/** overlayfs hides what starts with this; an image that has to show such an xattr escapes it. */
export const OVERLAY = 'trusted.overlay.';
export const ESCAPED = 'trusted.overlay.overlay.';

/** Says that the inode has no data of its own; may hold the fs-verity digest of the data. */
export const METACOPY = 'trusted.overlay.metacopy';
/** Absolute path of the data below the object store. */
export const REDIRECT = 'trusted.overlay.redirect';
/** `y`: lower layers are not looked into. `x`: the directory has whiteouts that are files. */
export const OPAQUE = 'trusted.overlay.opaque';

/** A whiteout inside an image: a file marked so, for both kinds of overlay mounts. */
export const WHITEOUT_MARKS = ['trusted.overlay.overlay.whiteout', 'user.overlay.whiteout'] as const;
/** Marks a directory with such files in it. */
export const WHITEOUT_PARENT_MARKS = ['trusted.overlay.overlay.whiteouts', 'user.overlay.whiteouts'] as const;
/** The newer mark for the same, value `x`, from format 1 on. */
export const WHITEOUT_OPAQUE_MARKS = ['trusted.overlay.overlay.opaque', 'user.overlay.opaque'] as const;

export const SELINUX = 'security.selinux';
