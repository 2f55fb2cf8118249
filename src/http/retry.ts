import type { HttpError } from './http-error.js';

/** Something that made a request be sent again. */
export interface Retry {
  url: URL;
  /** a status, or what happened to the connection */
  reason: number | HttpError;
  waitMs: number;
}

/** In words, for users. */
export function describeRetry({ url, reason, waitMs }: Retry): string {
  const why = typeof reason === 'number' ? `status ${reason}` : reason.message;
  return `${url.host}: ${why}; again in ${(waitMs / 1000).toFixed(1)} s`;
}
