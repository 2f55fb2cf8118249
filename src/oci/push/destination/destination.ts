import type { Descriptor } from '../../../spec/manifest.js';
import type { OutgoingBlob } from '../outgoing-blob.js';
import type { ManifestKind, OutgoingManifest } from '../outgoing-manifest.js';
import type { BlobOutcome } from '../types.js';

/** What is heard of a blob on its way. */
export interface BlobWatch {
  /** `done` bytes are there, `sent` of them by this push */
  onProgress(done: number, sent: number): void;
  /** an earlier push had begun: it goes on at this offset */
  onContinue(from: number): void;
  onRetry(reason: Error): void;
}

/** A place that images can be pushed to. What is not finished when it is disposed is taken back as far as possible. */
export interface Destination extends AsyncDisposable {
  readonly manifests: ManifestKind;
  /** layers have to be plain tars */
  readonly plainLayers: boolean;
  /** Makes a blob be there without sending it. @returns undefined where it has to be sent */
  takeOver(blob: Pick<Descriptor, 'digest' | 'size'>, signal: AbortSignal): Promise<'present' | 'mounted' | undefined>;
  /** Stores a blob. Afterwards its `facts` are known. */
  putBlob(blob: OutgoingBlob, watch: BlobWatch, signal: AbortSignal): Promise<BlobOutcome>;
  /** Stores the manifest of the image that was asked for, whose blobs are all there, and makes it visible. */
  putImage(image: FinishedImage, signal: AbortSignal): Promise<void>;
  /** Whether it has a manifest of this digest, of whatever tag; undefined where only what is brought there is. */
  readonly hasManifest?: (digest: string, signal: AbortSignal) => Promise<boolean>;
  /** Stores a manifest that refers to another one; undefined where there is no place for such. */
  readonly putReferrer?: (referrer: Referrer, signal: AbortSignal) => Promise<void>;
}

export interface FinishedImage {
  manifest: OutgoingManifest;
  config: Buffer;
  configDigest: string;
  /** diff_ids of its layers, none for an artifact */
  diffIds: readonly string[];
}

export interface Referrer {
  manifest: OutgoingManifest;
  /** the digest it refers to */
  subject: string;
  artifactType: string | undefined;
  annotations: Readonly<Record<string, string>> | undefined;
}
