import type { Abortable } from '../abortable.js';
export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Bytes can be sent again when the first time fails; a stream cannot. */
export type RequestBody = Uint8Array | AsyncIterable<Uint8Array>;

export interface HttpRequest extends Abortable {
  url: URL;
  method?: Method;
  headers?: Readonly<Record<string, string>> | undefined;
  /** The header's value. It goes to the URL's own host and port and never beyond them. */
  authorization?: string | undefined;
  /** Other headers of the kind: what users add may be a secret between them and that server. */
  ownHeaders?: Readonly<Record<string, string>> | undefined;
  body?: RequestBody | undefined;
  /** false: neither a lost connection nor a status that asks for it makes the request be sent again */
  retry?: boolean | undefined;
}
