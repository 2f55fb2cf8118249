/** A file that is called so, and then the name of another, says that the other one of the layers below is gone. */
export const WHITEOUT = '.wh.';
/** A file with this name says that nothing of its directory's content in the layers below counts. */
export const OPAQUE = '.wh..wh..opq';
