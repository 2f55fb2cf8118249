// Names of features, which both protocols have in the reply to GetInfo.

/** Layers as a stream with files by directory and name. In JSON-RPC also the value of the parameter `format`. */
export const FEATURE_SPLITDIRFDSTREAM = 'splitdirfdstream-v0';

/** The layers are those of one containers-storage, named by their ids. */
export const FEATURE_CONTAINERS_STORAGE = 'source-containers-storage';

/** Layers are given and never taken. */
export const FEATURE_READ_ONLY = 'read-only';
