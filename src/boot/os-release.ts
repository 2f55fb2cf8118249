// Source: freedesktop.org, os-release(5).
import type { ByteString } from '../bytes.js';

const KEYS = ['PRETTY_NAME', 'NAME', 'ID'] as const;

/** What a person calls the system, on one line; undefined when the file does not say. */
export function prettyName(osRelease: Buffer): ByteString | undefined {
  const values = new Map<string, ByteString>();
  for (const line of osRelease.toString('latin1').split('\n')) {
    const [, key, value = ''] = /^([A-Z_0-9]+)=(.*)$/.exec(line.trim()) ?? [];
    if (key !== undefined) values.set(key, unquote(value).replace(/[\x00-\x1f\x7f]/g, ''));
  }
  return KEYS.map((key) => values.get(key)).find((value) => value !== undefined && value !== '');
}

/** As a shell does it; quoted and other parts may follow each other. */
function unquote(value: ByteString): ByteString {
  return value.replace(
    /"((?:[^"\\]|\\.)*)"|'([^']*)'/g,
    (_, double?: string, single?: string) => single ?? (double ?? '').replace(/\\(.)/g, '$1'),
  );
}
