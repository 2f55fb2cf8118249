// Whom to believe when a server says who it is.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { bytesOf } from '../bytes.js';
import { FormatError, NotFoundError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { readWhole, UnfitFileError } from '../fd/read-whole.js';
import { AUTHORITIES_LIMIT } from '../limits.js';

/** Where distributions keep all their certificate authorities in one file: Debian, Fedora, openSUSE, Alpine. */
const BUNDLES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const CERTIFICATE = '-----BEGIN CERTIFICATE-----';

/**
 * The certificate authorities of this system, as PEM: those of SSL_CERT_FILE and SSL_CERT_DIR if set, else the
 * distribution's, else Node's own; and those of NODE_EXTRA_CA_CERTS.
 * @throws NotFoundError, FormatError `BAD_CERTIFICATE` for files that the environment names
 */
export function systemAuthorities(env: NodeJS.ProcessEnv): string[] {
  const extra = env['NODE_EXTRA_CA_CERTS'];
  return [...baseAuthorities(env), ...(extra ? [readCertificates(extra)] : [])];
}

function baseAuthorities(env: NodeJS.ProcessEnv): readonly string[] {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: folders } = env;
  if (file || folders)
    return [
      ...(file ? [readCertificates(file)] : []),
      ...(folders ?? '').split(':').filter(Boolean).flatMap(readFolder),
    ];
  for (const path of BUNDLES) {
    try {
      return [read(path)];
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) throw error;
    }
  }
  return rootCertificates;
}

/** Folders of certificates also hold links by hash and other files, so what is not a certificate is passed over. */
function readFolder(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [] : [entry.name]));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
  const texts = new Set<string>();
  let length = 0;
  for (const name of names) {
    const text = readIfFit(join(folder, name));
    if (text === undefined || !text.includes(CERTIFICATE) || texts.has(text)) continue;
    length += text.length;
    if (length > AUTHORITIES_LIMIT) throw unfit(folder, `holds more than ${AUTHORITIES_LIMIT} bytes of certificates`);
    texts.add(text);
  }
  return [...texts];
}

/**
 * Reads a file with one or more certificates.
 * @throws NotFoundError, FormatError `BAD_CERTIFICATE`
 */
export function readCertificates(path: string): string {
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      throw new NotFoundError(`there is no file ${path} with certificates`, { cause: error });
    throw error;
  }
  if (!text.includes(CERTIFICATE)) throw new FormatError('BAD_CERTIFICATE', `${path} holds no certificate in PEM form`);
  return text;
}

/** @throws FormatError `BAD_CERTIFICATE` for what is too long, or a pipe, to which perhaps nobody writes */
function read(path: string): string {
  try {
    return readWhole(bytesOf(path), AUTHORITIES_LIMIT).toString('utf8');
  } catch (error) {
    throw error instanceof UnfitFileError ? unfit(path, error.message, error) : error;
  }
}

function readIfFit(path: string): string | undefined {
  try {
    return readWhole(bytesOf(path), AUTHORITIES_LIMIT).toString('utf8');
  } catch (error) {
    // A socket cannot even be opened.
    if (error instanceof UnfitFileError || isErrno(error, 'ENXIO')) return undefined;
    throw error;
  }
}

function unfit(path: string, what: string, cause?: unknown): FormatError {
  return new FormatError(
    'BAD_CERTIFICATE',
    `${path} ${what}; certificate authorities are to be in regular files of at most ${AUTHORITIES_LIMIT} ` +
      'bytes together',
    { cause },
  );
}
