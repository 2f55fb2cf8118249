import type { Signature } from '../signatures/signature.js';
import type { ImageName } from './signed-identity.js';

/** Which rules are about an image. */
export interface PolicySubject {
  /** as policy.json calls it: `docker`, `containers-storage`, `dir` */
  transport: string;
  /** smallest first; `''`, which all of the transport are in, is none of them */
  scopes: readonly string[];
  /** what signed statements have to be about; images in folders have none */
  name: ImageName | undefined;
  /** for messages */
  shown: string;
}

export interface ImageToCheck {
  subject: PolicySubject;
  /** exact bytes */
  manifest: Buffer;
  signatures: () => Promise<readonly Signature[]>;
}

/** Decides whether an image may come in; nothing of it but its manifest's digest was believed before. */
export type Admit = (image: ImageToCheck, options: { signal?: AbortSignal | undefined }) => Promise<void>;
