/// <reference types="node" preserve="true" />
// The public API: what the commands do, for programs. Every function that waits takes `signal`, every object that owns
// something has `close` and is disposable.

// Repositories
export { defaultRepositoryPath } from './repository/default-path.js';
export { initRepository, type InitOptions } from './repository/init.js';
export { Repository, type OpenOptions } from './repository/repository.js';
export type { WaitedFor } from './repository/lock.js';
export type { Meta } from './repository/meta.js';
export type { Area } from './repository/names.js';
export { type Algorithm, type ObjectId, objectPath } from './fsverity/object-id.js';
export { listTags, readTag, removeTag, writeTag, type Tag } from './repository/tags.js';
export { resolveImage } from './repository/image-name.js';

// Images in a repository
export {
  inspectImage,
  listImages,
  openImage,
  type ImageDetails,
  type ImageSummary,
  type RepositoryImage,
  type StoredConfig,
} from './oci/image/image.js';
export type { JsonStream } from './oci/image/json-stream.js';
export type { BlobFacts, Descriptor, ImageConfig, Manifest } from './spec/manifest.js';
export type { Platform } from './spec/platform.js';

// Pulling
export { pullImage } from './oci/pull/pull.js';
export type { PulledLayer, PullEvent, PullOptions, PullResult } from './oci/pull/types.js';
export { LOCAL_FETCH, type LocalFetch } from './repository/local-fetch.js';
export type { LayerStats } from './oci/pull/stats.js';
export { verifyLayerStream } from './oci/pull/verified.js';
export { KeptParts, type KeptPart, type PartEnd } from './repository/kept-parts.js';

// Where images come from
export type { BlobSource, ImageSource, LayerSource, Referrer, SourceTraits, StoreExtras } from './oci/source/source.js';
export { openSource } from './oci/source/open.js';
export type { OpenSourceOptions } from './oci/source/transports.js';
export { linkingMount, openStorageImage, type StorageSourceOptions } from './oci/source/storage.js';
export type { MountClone } from './storage/mount-clone.js';
export { openRepositoryImage } from './oci/source/repository.js';
export { openProxyImage, type ProxyImageOptions } from './oci/source/proxy/image.js';
export type { ProxyAccess } from './oci/source/proxy/command.js';
export { openSocketImage, type SocketSourceOptions } from './oci/source/socket.js';
export {
  listSplitfdstreamImages,
  openSplitfdstreamImage,
  type SplitfdstreamOptions,
} from './oci/source/splitfdstream.js';
export type { ListImagesResult } from './rpc/contracts/splitfdstream.js';
export { SILENCE_LIMIT } from './oci/source/silence.js';

// Registries
export { openRegistryImage, type RegistryImageOptions } from './oci/source/registry.js';
export { listRegistryTags } from './oci/source/registry-tags.js';
export type { FetchProgress } from './oci/source/registry-blob.js';
export type { RegistryOptions } from './registry/registries.js';
export type { Credentials } from './registry/credentials.js';
export type { Admit, ImageToCheck, PolicySubject } from './registry/policy/image-to-check.js';
export type { Policy, PolicyChoice } from './registry/policy/policy.js';
export type { Requirement } from './registry/policy/requirements.js';
export type { ImageName } from './registry/policy/signed-identity.js';
export type { Signature, SigstoreSignature, SimpleSignature } from './registry/signatures/signature.js';
export type { HttpClientOptions } from './http/client.js';
export type { Retry } from './http/retry.js';
export type { ClientCertificate, TlsSettings } from './http/agents.js';

// Copying and pushing
export { copyFrom, copyImage, type CopyOptions } from './oci/push/copy.js';
export { pushToStore } from './oci/store/push-to-store.js';
export { pushAll, type PushAllOptions } from './oci/store/push-all.js';
export { pullAll, type PullAllOptions } from './oci/store/pull-all.js';
export type { AllOptions, AllResult, NamedOutcome, SkippedName } from './oci/store/all.js';
export type { StoreCopyOptions, StoreCopyResult, StoredCopy, StoreEvent } from './oci/store/types.js';
export type { LayerSurvey } from './oci/store/survey.js';
export { copyTo, type CopyToOptions, type CopyToResult } from './oci/push/remote.js';
export { RemoteRepository } from './oci/remote/remote-repository.js';
export type { LayerServerOptions } from './oci/remote/layer-server.js';
export { pushImage } from './oci/push/push.js';
export type {
  BlobOutcome,
  CompressedAnew,
  PushedBlob,
  PushEvent,
  PushOptions,
  PushResult,
} from './oci/push/types.js';
export type { Compression } from './compress/decompress.js';
export type { CompressionChoice } from './compress/compress.js';

// Deltas
export { applyDelta, type ApplyDeltaOptions } from './oci/delta/apply.js';
export { isDeltaSource } from './oci/delta/delta.js';
export { createDelta } from './oci/delta/create.js';
export type { CreateDeltaOptions, CreateDeltaResult, DeltaEvent, DeltaLayerReport } from './oci/delta/types.js';
export type { LayerParts } from './oci/delta/pack-layer.js';
export type { TarDiffVersion } from './layer/tar-diff-format.js';

// Commits of ostree
export { openOstreeRepository, pullCommit, type OstreeRepository, type PullOstreeOptions } from './ostree/open.js';
export type { RemoteOptions as OstreeRemoteOptions } from './ostree/http/remote.js';
export { applyDeltaFile, type ApplyFileOptions as ApplyDeltaFileOptions } from './ostree/delta/apply-file.js';
export type { OfferedDelta as OstreeDelta } from './ostree/delta/find.js';
export { listServerRefs, type ListServerRefsOptions } from './ostree/http/list-refs.js';
export { copyCommit } from './ostree/copy/copy-commit.js';
export type { PullLocalOptions as PullOstreeFolderOptions } from './ostree/local/pull-local.js';
export type { PulledCommit } from './ostree/pull/pull.js';
export type { FetchProgress as CommitProgress, ObjectCounts } from './ostree/pull/fetch-commit.js';
export type { PublishedCommit } from './ostree/image/commit-image.js';
export type { CommitCheckOptions } from './ostree/verify/commit-check.js';
export type { CommitForm } from './ostree/form.js';
export { parseEd25519Keys, type SignatureKeys } from './ostree/verify/signature-check.js';
export { publicKeysIn } from './registry/policy/openpgp-keys.js';
export type { Checksum } from './ostree/object/checksum.js';
export { inspectCommit, type CommitDetails } from './ostree/details.js';
export { listCommitObjects } from './ostree/list-objects.js';
export type { CommitObject, MetadataValue } from './ostree/inspect.js';
export type { ObjectKind } from './ostree/object/kind.js';
export { readCommitTree } from './ostree/image/read-tree.js';
export { commitImage, type CommitImageOptions } from './ostree/image/ensure-image.js';
export { commitXattrsWork } from './ostree/image/dead-xattrs.js';
export { commitCheck } from './ostree/fsck.js';
export {
  listCommitRefs,
  removeCommitRef,
  resolveCommit,
  tagCommit,
  writeCommitRef,
  type CommitRef,
} from './ostree/refs.js';
export { commitSource, type CommitSourceOptions, type MadeCommit } from './ostree/commit/commit-source.js';
export { exportCommitTo, type ExportCommitOptions } from './ostree/export/export-to.js';
export { exportImageTo, type ExportImageOptions } from './oci/image/export-image.js';

// Mounting
export { attachMount, type MountOptions, type UpperLayer } from './mount/mount.js';
export { mountStored } from './mount/mount-stored.js';

// Collecting garbage, checking and repairing
export { collectGarbage, type GcOptions } from './repository/gc/gc.js';
export type { GcReport } from './repository/gc/report.js';
export type { GcProblem, GcProblemKind } from './repository/gc/problem.js';
export type { ImageInUse, ImageUse } from './repository/gc/images-in-use.js';
export { fsckRepository, type FsckOptions } from './repository/fsck/fsck.js';
export type { FsckCount, FsckReport } from './repository/fsck/report.js';
export type {
  Finding,
  FsckError,
  FsckKind,
  MissingObject,
  NameFinding,
  NoObject,
  ObjectDefect,
  ObjectFinding,
} from './repository/fsck/findings.js';
export { fsckImages, type ImageFsckKind, type ImageFsckReport } from './oci/repair/fsck.js';
export { repairRepository, type RepairOptions } from './oci/repair/repair.js';
export {
  openRepairSources,
  type OpenRepairSourcesOptions,
  type RepairSource,
  type RepairSources,
} from './oci/repair/sources.js';
export type { AffectedImage, Quarantined, RepairReport } from './oci/repair/report.js';
export type { Repaired } from './oci/repair/health.js';
export type { SourceProblem } from './oci/repair/layers.js';

// Serving
export {
  serveConnection,
  serveRepositoryImages,
  serveStore,
  type ServeConnectionOptions,
  type ServeStoreOptions,
} from './service/serve.js';
export type { ServeOptions } from './service/serve-listener.js';
export { serveImageProxy } from './service/proxy/serve.js';
export type { FindOptions, FoundBlob } from './oci/source/source.js';
export type { ImageProxyOptions } from './service/proxy/proxy-options.js';
export type { ServedStore } from './service/varlink/store-service.js';
export type { ClientLimits } from './limits.js';
export { serveVarlinkRepositories } from './service/varlink/serve.js';

// Reading a containers-storage
export {
  Store,
  type ImageOptions,
  type LayerStreamOptions,
  type StoredLayer,
  type StoreOptions,
  type StoreSettings,
} from './storage/store.js';
export type { Descriptor as StoredDescriptor, Instance, ManifestList, StoredImage } from './storage/image.js';
export type { TarSplitStream } from './storage/layer-stream.js';
export type { Driver } from './storage/root.js';
export type { LockWait } from './storage/lock.js';
export { discoverStore } from './storage/discover.js';
export type { Surroundings } from './storage/containers-config.js';
export { parseImageReference, type ImageReference, type StoreChoice } from './storage/reference.js';

// Writing into a containers-storage
export { openStoreForWriting } from './userns/open-store-for-writing.js';
export type { OpenForWritingOptions } from './storage/write/open.js';
export type { LayerKey, WritableStore } from './storage/write/writable-store.js';
export type { PutLayerOptions, PutLayerResult } from './storage/write/put-layer.js';
export type { ImageToPut, PutImageResult } from './storage/write/put-image.js';
export type { CompressedBlob } from './storage/write/layer-record.js';
export type { ExtractedLayer, ExtractOptions } from './storage/extract/extract-layer.js';
export type { ContentCounts } from './storage/extract/extraction.js';
export type { EntryRules } from './storage/extract/entry-record.js';
export type { Signatures } from './storage/write/image-items.js';

// Layers and file trees
export type { BytesChunk, Chunk, FdChunk, LayerStream, NamedChunk, PackedBlob } from './layer/stream.js';
export type { EntryType, TarEntry } from './layer/entry.js';
export type { FileContent } from './tree/entry-node.js';
export { LayerTree, type LateMark, type MarkOrder } from './tree/oci-layers.js';
export type { XattrMode } from './tree/oci-transform.js';
export { scanFolder, type ScanOptions } from './tree/scan-folder.js';
export {
  Device,
  Directory,
  Regular,
  Special,
  Symlink,
  type Content,
  type Inode,
  type Leaf,
  type LeafInode,
  type Metadata,
  type Node,
  type ObjectContent,
  type Position,
  type Xattrs,
} from './tree/tree.js';

// EROFS images and dump files
export { writeErofs } from './erofs/write/writer.js';
export { formatVersionFor } from './erofs/format/version.js';
export { imageObjects } from './erofs/read/image-objects.js';
export { readErofs, type ErofsImage, type ReadOptions, type StoredInode } from './erofs/read/reader.js';
export type { ErofsVersion, WriteOptions, Writer } from './erofs/format/options.js';
export { parseDump } from './erofs/dumpfile/parse.js';
export { printDump } from './erofs/dumpfile/print.js';
export { printStored } from './erofs/dumpfile/stored-print.js';
export { verityDigest, verityDigestOfFd } from './fsverity/digest.js';

// Descriptors, sockets, bytes
export type { FdNumber, FileStat } from './native.js';
export type { OpenDir } from './fd/fd.js';
export type { ByteSource } from './fd/byte-source.js';
export {
  connect,
  Fd,
  fromFd,
  listen,
  listenFd,
  type Abortable,
  type Connection,
  type ConnectionOptions,
  type ConnectOptions,
  type Listener,
  type ListenOptions,
  type OperationOptions,
  type PeerCredentials,
  type Segment,
  type SocketType,
} from './fd/fd-passing.js';
export { bytesOf, showBytes, type ByteString } from './bytes.js';

// Errors, see docs/errors.md
export {
  BridgeError,
  DigestMismatchError,
  FormatError,
  NoImageError,
  NoRepositoryError,
  NotFoundError,
  type Place,
} from './errors.js';
export { SocketError } from './fd/socket-error.js';
export { HttpError } from './http/http-error.js';
export { RegistryError, type RegistryPlace } from './registry/registry-error.js';
export { ProxyError } from './rpc/proxy/proxy-error.js';
export type { ProxyErrorCode } from './rpc/contracts/image-proxy.js';
export { RemoteError, RpcProtocolError } from './rpc/rpc-error.js';
export { VarlinkRemoteError, type Parameters } from './rpc/varlink/varlink-error.js';
export { DumpProblem } from './erofs/dumpfile/problem.js';
export { StoreFailure, type ObjectStore } from './repository/objects.js';
export { MountError } from './mount/fs-context.js';
export type {
  ErrorCode,
  FormatErrorCode,
  HttpErrorCode,
  NativeErrorCode,
  RegistryErrorCode,
  RpcProtocolErrorCode,
  SocketErrorCode,
  StateErrorCode,
  SystemErrorCode,
} from './error-codes.js';
