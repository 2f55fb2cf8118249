import { HttpError } from './http-error.js';
import type { HttpRequest } from './request.js';

/**
 * The request that a redirect asks for.
 * @param verify whether servers have to prove who they are
 * @throws HttpError `HTTP_REDIRECT` for one that must not be followed
 */
export function redirected(request: HttpRequest, status: number, location: string, verify: boolean): HttpRequest {
  const { url: from, method = 'GET', body, authorization, ownHeaders, ...rest } = request;
  if (!URL.canParse(location, from.href)) throw new HttpError('HTTP_REDIRECT', from, 'it redirects to what is no URL');
  const url = new URL(location, from);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new HttpError('HTTP_REDIRECT', from, `it redirects to ${url.protocol}, which is not HTTP`);
  // Anybody on the way could read and change all that follows.
  if (from.protocol === 'https:' && url.protocol === 'http:' && verify)
    throw new HttpError('HTTP_REDIRECT', from, `it redirects from https to http at ${url.host}`);
  if (url.username !== '' || url.password !== '')
    throw new HttpError('HTTP_REDIRECT', from, 'it redirects to a URL with a password');
  const same = url.origin === from.origin;
  if (body !== undefined) {
    // The body may hold a token, or be a stream that is used up.
    if (!same || !(body instanceof Uint8Array) || (status !== 307 && status !== 308))
      throw new HttpError('HTTP_REDIRECT', from, `it redirects a ${method} with a body to ${url.host}`);
    return { ...rest, url, method, body, authorization, ownHeaders };
  }
  if (method !== 'GET' && method !== 'HEAD' && status !== 307 && status !== 308)
    throw new HttpError('HTTP_REDIRECT', from, `it redirects a ${method} with status ${status}`);
  // A storage service would take the registry's token for a wrong one of its own, and its owner could use it.
  return same ? { ...rest, url, method, authorization, ownHeaders } : { ...rest, url, method };
}
