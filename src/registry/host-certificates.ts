import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { configDirs, readIfThere, type Surroundings } from '../storage/containers-config.js';
import { FormatError, NotFoundError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import type { ClientCertificate } from '../http/agents.js';
import { readCertificates } from '../http/authorities.js';

export interface HostCertificates {
  /** certificate authorities to believe beside the system's */
  authorities: readonly string[];
  clientCertificates: readonly ClientCertificate[];
}

/**
 * The certificates kept for a registry in `certs.d/HOST:PORT`: `*.crt` are authorities, `X.cert` with `X.key` shows who
 * asks. The first of the folders that is there counts.
 * @param folder with the same files, whatever the host is
 * @throws NotFoundError, FormatError `BAD_CERTIFICATE`
 */
export function hostCertificates(host: string, surroundings: Surroundings, folder?: string): HostCertificates {
  if (folder !== undefined) {
    const certificates = readFolder(folder);
    if (certificates === undefined) throw new NotFoundError(`there is no folder ${folder} with certificates`);
    return certificates;
  }
  const tops = [...configDirs(surroundings), join(surroundings.systemRoot ?? '/', '/etc/docker')];
  for (const top of tops) {
    const certificates = readFolder(join(top, 'certs.d', host));
    if (certificates !== undefined) return certificates;
  }
  return { authorities: [], clientCertificates: [] };
}

function readFolder(folder: string): HostCertificates | undefined {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch (error) {
    // Other users' programs have certificates, too.
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
    throw error;
  }
  const authorities = names.filter((name) => name.endsWith('.crt')).map((name) => readCertificates(join(folder, name)));
  const clientCertificates = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = readIfThere(join(folder, name.replace(/\.cert$/, '.key')));
      if (key === undefined)
        throw new FormatError(
          'BAD_CERTIFICATE',
          `${join(folder, name)} has no ${name.replace(/\.cert$/, '.key')} beside it; if it is an authority, ` +
            'call it .crt',
        );
      return { certificate: readCertificates(join(folder, name)), key };
    });
  for (const name of names) {
    if (name.endsWith('.key') && !names.includes(name.replace(/\.key$/, '.cert')))
      throw new FormatError(
        'BAD_CERTIFICATE',
        `${join(folder, name)} has no ${name.replace(/\.key$/, '.cert')} beside it`,
      );
  }
  return { authorities, clientCertificates };
}
