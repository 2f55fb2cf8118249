import type { Abortable } from '../../abortable.js';
import type { OpenSourceOptions } from '../../oci/source/transports.js';

/** How images are opened: as `openSource` does it, for all requests. */
export interface ImageProxyOptions
  extends Abortable,
    Omit<OpenSourceOptions, 'signal' | 'openDir' | 'admit' | 'manifestOfArchives'> {
  /**
   * milliseconds that a registry may send nothing, and that a reader may take nothing while FinishPipe waits for it,
   * before the blob is given up with an error; 0: forever. Default: 60 s
   */
  idleLimit?: number | undefined;
  /** called by Initialize, which fails with what it throws: for what would make all requests fail */
  check?: (() => void) | undefined;
}
