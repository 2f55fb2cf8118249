// Signatures that are kept beside registries, as numbered files on a web server or in a folder.
import { fileURLToPath } from 'node:url';
import type { Abortable } from '../../abortable.js';
import { bytesOf, printable } from '../../bytes.js';
import { BridgeError, FormatError } from '../../errors.js';
import { isErrno } from '../../fd/fd.js';
import { readWhole } from '../../fd/read-whole.js';
import type { HttpClient } from '../../http/client.js';
import { showUrl } from '../../http/http-error.js';
import { SIGNATURES_LIMIT, STATEMENT_LIMIT } from '../../limits.js';
import { parseSignature, type Signature } from './signature.js';

/**
 * The signatures of a manifest: the files 1, 2, … up to the first that is not there.
 * @param top URL of the place, `file:`, `http:` or `https:`
 * @param path of the repository, without its host
 * @throws FormatError `BAD_CONFIG`, `SIGNATURE`; HttpError; BridgeError `POLICY` when the server fails, or there is no
 *   end of them
 */
export async function readLookaside(
  top: string,
  path: string,
  digest: string,
  client: HttpClient,
  { signal }: Abortable = {},
): Promise<Signature[]> {
  if (!URL.canParse(top) || !/^(?:file|https?):$/.test(new URL(top).protocol))
    throw new FormatError(
      'BAD_CONFIG',
      `registries.d: ${JSON.stringify(printable(top))} is no place for signatures: file, http and https can be read`,
    );
  const signatures: Signature[] = [];
  for (let number = 1; ; number++) {
    const url = new URL(top);
    url.pathname += `/${path}@${digest.replace(':', '=')}/signature-${number}`;
    const bytes = url.protocol === 'file:' ? localFile(url) : await remoteFile(url, client, signal);
    if (bytes === undefined) return signatures;
    if (number > SIGNATURES_LIMIT)
      throw new BridgeError(
        'POLICY',
        `${showUrl(url)}: there are more than ${SIGNATURES_LIMIT} signatures of one image`,
      );
    signatures.push(parseSignature(bytes, showUrl(url)));
  }
}

function localFile(url: URL): Buffer | undefined {
  try {
    return readWhole(bytesOf(fileURLToPath(url)), STATEMENT_LIMIT);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw new FormatError('SIGNATURE', `${url.pathname} cannot be read as a signature`, { cause: error });
  }
}

async function remoteFile(url: URL, client: HttpClient, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
  await using response = await client.request({ url, signal });
  if (response.status === 404) return undefined;
  if (response.status !== 200)
    throw new BridgeError('POLICY', `${showUrl(url)}: status ${response.status} instead of a signature`);
  return await response.bytes(STATEMENT_LIMIT);
}
