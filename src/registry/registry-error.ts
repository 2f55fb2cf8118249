import * as z from 'zod';
import { printable } from '../bytes.js';
import type { RegistryErrorCode } from '../error-codes.js';
import { BridgeError } from '../errors.js';
import type { HttpResponse } from '../http/response.js';
import { REFUSAL_LIMIT } from '../limits.js';

const SHOWN = 300;

const bodySchema = z.object({
  errors: z.array(z.object({ code: z.string().optional(), message: z.string().nullish() })),
});

export interface RegistryPlace {
  host: string;
  repository?: string | undefined;
  /** what it was about: a digest or a tag */
  reference?: string | undefined;
}

/** What a registry says no to, or what it answers wrongly. */
export class RegistryError extends BridgeError {
  declare readonly code: RegistryErrorCode;
  readonly host: string;
  readonly repository: string | undefined;
  /** a digest or a tag */
  readonly reference: string | undefined;
  readonly status: number | undefined;
  /** the server's own, such as MANIFEST_UNKNOWN */
  readonly serverCodes: readonly string[];

  constructor(
    code: RegistryErrorCode,
    place: RegistryPlace,
    reason: string,
    options: ErrorOptions & { status?: number; serverCodes?: readonly string[] } = {},
  ) {
    super(code, `${showPlace(place)}: ${reason}`, options);
    this.host = place.host;
    this.repository = place.repository;
    this.reference = place.reference;
    this.status = options.status;
    this.serverCodes = options.serverCodes ?? [];
  }
}

/**
 * The error that an answer is. Its body is read as far as it is short, and may be JSON, text, or some proxy's page.
 * @param what could not be done
 */
export async function statusError(response: HttpResponse, place: RegistryPlace, what: string): Promise<RegistryError> {
  const { status } = response;
  const body = (await response.beginning(REFUSAL_LIMIT)).toString('utf8');
  const { codes, text } = describeBody(body);
  const reason = `${what}: ${text === '' ? '' : `${text} `}(status ${status})`;
  return new RegistryError(codeOf(status), place, reason, { status, serverCodes: codes });
}

function codeOf(status: number): RegistryErrorCode {
  if (status === 404) return 'NOT_FOUND';
  if (status === 401 || status === 403) return 'UNAUTHORIZED';
  return status === 429 ? 'TOO_MANY_REQUESTS' : 'REGISTRY_STATUS';
}

function describeBody(body: string): { codes: string[]; text: string } {
  const errors = parseBody(body);
  if (errors === undefined) return { codes: [], text: shorten(/^\s*</.test(body) ? titleOf(body) : body) };
  const codes = errors.flatMap(({ code }) => (code !== undefined && /^[A-Z0-9_]{1,64}$/.test(code) ? [code] : []));
  return {
    codes,
    text: shorten(errors.map(({ code, message }) => [code, message].filter(Boolean).join(': ')).join(', ')),
  };
}

function parseBody(body: string): z.output<typeof bodySchema>['errors'] | undefined {
  try {
    return bodySchema.parse(JSON.parse(body)).errors;
  } catch {
    return undefined;
  }
}

function titleOf(html: string): string {
  const title = /<title[^>]*>([^<]*)/i.exec(html)?.[1]?.trim();
  return title ? `a page "${title}"` : 'a page';
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return printable(line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line);
}

function showPlace({ host, repository, reference }: RegistryPlace): string {
  const name = [host, repository].filter((part) => part !== undefined).join('/');
  return reference === undefined ? name : `${name}${reference.includes(':') ? '@' : ':'}${reference}`;
}
