/// <reference types="node" preserve="true" />
// The public API: what the commands do, for programs.
export { Fd } from './fd/fd.js';
export { BridgeError, DigestMismatchError, FormatError, NotFoundError, type Place } from './errors.js';
export { bytesOf, showBytes, type ByteString } from './bytes.js';

export { Repository, defaultRepositoryPath, type Area, type OpenOptions } from './repository/repository.js';
export { initRepository, type InitOptions } from './repository/init.js';
export { type Algorithm, type ObjectId, objectPath } from './repository/object-id.js';
export { type ErofsVersion } from './repository/meta.js';
export { resolveImage } from './repository/image-name.js';
export { collectGarbage, type GcOptions } from './repository/gc.js';
export { gcJson, gcText, type GcProblem, type GcReport } from './repository/gc-report.js';
export { attachMount, type MountOptions, type UpperLayer } from './repository/mount.js';
export { mountStored } from './repository/mount-stored.js';
export { listTags, readTag, removeTag, writeTag, type Tag } from './repository/tags.js';

export { pullImage } from './oci/pull/pull.js';
export type { PullEvent, PullOptions, PulledLayer, PullResult } from './oci/pull/types.js';
export { LOCAL_FETCH, type LocalFetch } from './oci/pull/local-fetch.js';
export { type LayerStats } from './oci/pull/import-layer.js';
export { type BlobSource, type ImageSource, type LayerSource } from './oci/source/source.js';
export { openSource, type OpenSourceOptions } from './oci/source/open.js';
export { openRepositoryImage } from './oci/source/repository.js';
export { copyFrom, copyImage, type CopyOptions } from './oci/copy.js';
export { pushImage, type PushOptions } from './oci/remote/push.js';
export { RemoteRepository } from './oci/remote/remote-repository.js';
export { type Platform } from './oci/manifest.js';
export { linkingMount, openStorageImage, type StorageSourceOptions } from './oci/source/storage.js';
export { openSocketImage, type SocketSourceOptions } from './oci/source/socket.js';
export { listSplitfdstreamImages, openSplitfdstreamImage, type SplitfdstreamOptions } from './oci/source/splitfdstream.js';
export { SILENCE_LIMIT } from './oci/source/silence.js';
export { inspectImage, listImages, openImage, type ImageSummary, type StoredImage } from './oci/image.js';
export { verifyLayerStream } from './oci/pull/verified.js';
export { repairRepository } from './oci/repair/repair.js';
export { repairJson, repairText, type AffectedImage, type Quarantined, type RepairReport } from './oci/repair/report.js';
export { openRepairSources, type RepairSource, type RepairSources } from './oci/repair/sources.js';
export { fsckImages, imageFsckJson, imageFsckText, type ImageFsckReport } from './oci/fsck.js';
export { fsckRepository, type FsckOptions } from './repository/fsck.js';
export { fsckJson, fsckText, type FsckError, type FsckReport } from './repository/fsck-report.js';

export { serveConnection, serveRepositoryImages, serveStore } from './service/serve.js';
export { type ServeOptions } from './service/serve-listener.js';
export { serveVarlinkRepositories } from './service/varlink/serve.js';
export { connect, listen, listenFd, fromFd, type Connection, type Listener } from './fd/fd-passing.js';

export { Store, type StoredLayer, type StoreOptions } from './storage/store.js';
export { discoverStore } from './storage/discover.js';
export { parseImageReference, type ImageReference } from './storage/reference.js';

export { type Chunk, type LayerStream } from './layer/stream.js';
export { type TarEntry } from './layer/entry.js';
export { LayerTree, type FileContent } from './tree/oci-layers.js';
export { scanFolder, type ScanOptions } from './tree/scan-folder.js';
export { Device, Directory, Regular, Special, Symlink, type Content, type Leaf, type Metadata, type Node, type Xattrs } from './tree/tree.js';
export { writeErofs } from './erofs/writer.js';
export { formatVersionFor } from './erofs/format-version.js';
export { imageObjects, readErofs, type ErofsImage, type ReadOptions, type StoredInode } from './erofs/reader.js';
export { type FormatVersion, type Peer, type WriteOptions } from './erofs/options.js';
export { parseDump } from './erofs/dumpfile-parse.js';
export { printDump } from './erofs/dumpfile-print.js';
export { printStored } from './erofs/stored-print.js';
export { verityDigest, verityDigestOfFd } from './fsverity/digest.js';
