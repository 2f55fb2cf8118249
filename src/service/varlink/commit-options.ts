// What the parameters of calls about commits mean.
import { BridgeError } from '../../errors.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { subpathsOf, type CommitForm } from '../../ostree/form.js';
import { parseHeader } from '../../ostree/http/header.js';
import type { RemoteOptions } from '../../ostree/http/remote.js';
import { parseEd25519Keys } from '../../ostree/verify/signature-check.js';
import type { CommitCheckOptions } from '../../ostree/verify/commit-check.js';
import { isRootOrSelf } from '../../fd/peer.js';
import { publicKeysIn } from '../../registry/policy/openpgp-keys.js';
import { ostreeInterface, type ServerChoice, type Verification } from '../../rpc/contracts/ostree.js';
import type { VarlinkCall } from '../../rpc/varlink/server.js';

type Optional<T> = T | null | undefined;

export function invalidRequest(message: string): Error {
  return ostreeInterface.error('InvalidRequest', { message });
}

/**
 * Strangers have repositories of the server's user by their handles, not other files of that user.
 * @throws InvalidRequest
 */
export function checkMayNameFiles({ peer }: VarlinkCall): void {
  if (!isRootOrSelf(peer.uid)) throw invalidRequest('only root and the user of the server name files for it to read');
}

/** @throws InvalidRequest */
export function remoteOf(server: Optional<ServerChoice>, call: VarlinkCall): RemoteOptions {
  const { credentials, anonymous, authfile, cert_dir: certDir, tls_verify: tlsVerify, headers } = server ?? {};
  if (anonymous === true && (credentials != null || authfile != null))
    throw invalidRequest('anonymous, and credentials or an authfile');
  if (authfile != null || certDir != null) checkMayNameFiles(call);
  const parsed = (headers ?? []).map((text) => {
    const header = parseHeader(text);
    if (header === undefined) throw invalidRequest('a header is NAME:VALUE');
    return header;
  });
  const basic =
    credentials == null
      ? undefined
      : ({ kind: 'basic', username: credentials.user, password: credentials.password } as const);
  return {
    credentials: anonymous === true ? 'nobody' : basic,
    authFile: authfile ?? undefined,
    certDir: certDir ?? undefined,
    tlsVerify: tlsVerify ?? undefined,
    headers: Object.fromEntries(parsed),
  };
}

/** @returns nothing where no verification is asked for. @throws InvalidRequest: also for one without keys */
export function checksOf(verification: Optional<Verification>): CommitCheckOptions {
  if (verification == null) return {};
  const { ed25519, gpg, collection_id: collection, allow_downgrade: allowDowngrade } = verification;
  if (ed25519 == null && gpg == null) throw invalidRequest('a verification without keys');
  const keys = sensible(() => ({
    ed25519: ed25519 == null ? undefined : parseEd25519Keys(ed25519.join('\n'), 'ed25519'),
    gpg: gpg == null ? undefined : publicKeysIn(Buffer.from(gpg, 'base64'), 'gpg'),
  }));
  return { keys, collection: collection ?? undefined, allowDowngrade: allowDowngrade === true };
}

/** @throws InvalidRequest */
export function formOf(fixXattrs: Optional<boolean>, subpaths: Optional<readonly string[]>): CommitForm {
  return { fixXattrs: fixXattrs === true, subpaths: sensible(() => subpathsOf(subpaths ?? [])) };
}

/** @throws InvalidRequest */
export function erofsVersionOf(version: Optional<number>): ErofsVersion | undefined {
  if (version == null) return undefined;
  if (version === 0 || version === 1 || version === 2) return version;
  throw invalidRequest(`EROFS has no version ${version}: it is 0, 1 or 2`);
}

/** @throws InvalidRequest */
export function timestampOf(seconds: Optional<number>): bigint | undefined {
  if (seconds == null) return undefined;
  if (seconds < 0) throw invalidRequest('a timestamp before 1970');
  return BigInt(seconds);
}

function sensible<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof BridgeError ? invalidRequest(error.message) : error;
  }
}
