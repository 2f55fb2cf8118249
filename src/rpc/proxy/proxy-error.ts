import { printable } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import type { ProxyErrorCode } from '../contracts/image-proxy.js';

/** The proxy answered with an error. */
export class ProxyError extends BridgeError {
  declare readonly code: 'PROXY_ERROR';
  /** What the proxy itself said, without what was asked for. */
  readonly said: string;
  /** What kind of failure it is; undefined where the proxy is older than 0.2.8. */
  readonly kind: ProxyErrorCode | undefined;

  constructor(what: string, said: string, kind: ProxyErrorCode | undefined) {
    const shown = printable(said.trim());
    super('PROXY_ERROR', `${what}: ${shown === '' ? 'the image proxy gives no reason' : shown}`);
    this.said = said;
    this.kind = kind;
  }
}
