import type { Abortable } from '../../abortable.js';
import type { CompressionChoice } from '../../compress/compress.js';
import type { Compression } from '../../compress/decompress.js';
import type { RegistryOptions } from '../../registry/registries.js';

/** What became of a blob: the destination had it, took it over from another repository there, or got its bytes. */
export type BlobOutcome = 'present' | 'mounted' | 'sent';

/** Why a layer is not the blob that it was pulled as. */
export type CompressedAnew =
  /** only its tar is in the repository */
  | 'not-kept'
  /** another compression was asked for */
  | 'asked-for'
  /** the destination takes no other */
  | 'destination';

export interface PushedBlob {
  readonly digest: string;
  /** in bytes */
  readonly size: number;
  /** of a layer */
  readonly diffId: string | undefined;
  readonly outcome: BlobOutcome;
}

export type PushEvent =
  /** so much of a blob is there; `name` is its digest, or that of its tar while nobody knows it */
  | { kind: 'progress'; name: string; done: number; sent: number; size: number | undefined }
  | { kind: 'blob'; name: string; blob: PushedBlob }
  /** the blob of a layer is made anew, and the manifest with it */
  | { kind: 'compressed-anew'; diffId: string; was: string; why: CompressedAnew }
  /** an earlier push had sent a part: sending goes on at `from`, which is 0 where the registry does not tell */
  | { kind: 'continued'; name: string; from: number }
  | { kind: 'retry'; name: string; reason: Error }
  /** these refer to the manifest, and not to the new one */
  | { kind: 'referrers-left'; digests: readonly string[] }
  | { kind: 'manifest'; digest: string; mediaType: string };

export interface PushOptions extends Abortable {
  /** how to compress layers; default: as they were when they were pulled */
  compression?: Compression | undefined;
  /** default: what is usual for the compression */
  compressionLevel?: CompressionChoice['level'];
  /** how many layers to send at the same time, default 3 */
  parallel?: number | undefined;
  /** send what refers to the image as well: signatures, attestations */
  referrers?: boolean | undefined;
  /** repositories of the same registry that may have the layers, as `HOST/PATH` */
  mountFrom?: readonly string[] | undefined;
  /** for `docker://` */
  registry?: RegistryOptions | undefined;
  onEvent?: ((event: PushEvent) => void) | undefined;
}

export interface PushResult {
  /** of the manifest at the destination */
  readonly manifestDigest: string;
  /** of the one in the repository: another one when layers were compressed anew */
  readonly storedDigest: string;
  readonly configDigest: string;
  readonly mediaType: string;
  /** config and layers, each once */
  readonly blobs: readonly PushedBlob[];
  /** manifests that refer to it, and were sent */
  readonly referrers: readonly string[];
}
