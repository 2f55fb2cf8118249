// Configs and manifests in OCI's form, as programs in Go make them of what an image has: byte for byte, since the
// manifest that is made names the config that is made by its digest.
import { createHash } from 'node:crypto';
import { FormatError } from '../errors.js';
import { goJson, goMember, sortedMembers, wellFormed, type Written } from './go-json.js';
import { MEDIA_TYPES, type Descriptor } from './manifest.js';

type Json = Readonly<Record<string, unknown>>;
type Out = Readonly<Record<string, Written>>;

/** A config with the members that OCI knows, in its order. */
export interface OciConfig {
  /** all of it, as JSON */
  full: Buffer;
  /** what containers are run by: its member `config` */
  runtime: Buffer;
}

/** @throws FormatError `CONFIG_INVALID` for what Go refuses to read */
export function ociConfig(bytes: Buffer): OciConfig {
  const image = parsed(bytes);
  const runtime = runtimeConfig(objectOf(goMember(image, 'config'), 'config'));
  const full = {
    ...optional('created', time(goMember(image, 'created'), 'created')),
    ...nonEmpty('author', text(goMember(image, 'author'), 'author')),
    architecture: text(goMember(image, 'architecture'), 'architecture'),
    os: text(goMember(image, 'os'), 'os'),
    ...nonEmpty('os.version', text(goMember(image, 'os.version'), 'os.version')),
    ...nonEmpty('os.features', texts(goMember(image, 'os.features'), 'os.features')),
    ...nonEmpty('variant', text(goMember(image, 'variant'), 'variant')),
    config: runtime,
    rootfs: rootfs(objectOf(goMember(image, 'rootfs'), 'rootfs')),
    ...nonEmpty('history', list(goMember(image, 'history'), 'history').map(historyEntry)),
  };
  return { full: goJson(full), runtime: goJson(runtime) };
}

/** Docker's types of layers, and what OCI calls them. */
const LAYER_TYPES: Readonly<Record<string, string>> = {
  'application/vnd.docker.image.rootfs.foreign.diff.tar': 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip':
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.docker.image.rootfs.diff.tar': 'application/vnd.oci.image.layer.v1.tar',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'application/vnd.oci.image.layer.v1.tar+gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd': 'application/vnd.oci.image.layer.v1.tar+zstd',
};

/**
 * The OCI manifest for one of docker's.
 * @param layers of docker's manifest
 * @param config the config in OCI's form
 * @throws FormatError `LAYER_TYPE`
 */
export function ociManifest(
  layers: readonly Pick<Descriptor, 'mediaType' | 'digest' | 'size' | 'urls'>[],
  config: Buffer,
): Buffer {
  return goJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: {
      mediaType: MEDIA_TYPES.config,
      digest: `sha256:${createHash('sha256').update(config).digest('hex')}`,
      size: config.length,
    },
    layers: layers.map(({ mediaType, digest, size, urls }) => {
      const type = Object.hasOwn(LAYER_TYPES, mediaType) ? LAYER_TYPES[mediaType] : undefined;
      if (type === undefined)
        throw new FormatError(
          'LAYER_TYPE',
          `Unknown media type during manifest conversion: ${JSON.stringify(mediaType)}`,
        );
      return { mediaType: type, digest, size, ...nonEmpty('urls', [...(urls ?? [])]) };
    }),
  });
}

function runtimeConfig(config: Json): Out {
  const string = (name: string): Out => nonEmpty(name, text(goMember(config, name), name));
  const strings = (name: string): Out => nonEmpty(name, texts(goMember(config, name), name));
  return {
    ...string('User'),
    ...set('ExposedPorts', goMember(config, 'ExposedPorts')),
    ...strings('Env'),
    ...strings('Entrypoint'),
    ...strings('Cmd'),
    ...set('Volumes', goMember(config, 'Volumes')),
    ...string('WorkingDir'),
    ...labels(goMember(config, 'Labels')),
    ...string('StopSignal'),
    ...(flag(goMember(config, 'ArgsEscaped'), 'ArgsEscaped') && { ArgsEscaped: true }),
  };
}

function rootfs(value: Json): Out {
  const ids = goMember(value, 'diff_ids');
  return { type: text(goMember(value, 'type'), 'type'), diff_ids: ids == null ? null : texts(ids, 'diff_ids') };
}

function historyEntry(value: unknown): Out {
  const entry = objectOf(value, 'history');
  return {
    ...optional('created', time(goMember(entry, 'created'), 'created')),
    ...nonEmpty('created_by', text(goMember(entry, 'created_by'), 'created_by')),
    ...nonEmpty('author', text(goMember(entry, 'author'), 'author')),
    ...nonEmpty('comment', text(goMember(entry, 'comment'), 'comment')),
    ...(flag(goMember(entry, 'empty_layer'), 'empty_layer') && { empty_layer: true }),
  };
}

function parsed(bytes: Buffer): Json {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new FormatError('CONFIG_INVALID', `the config is not JSON: ${(cause as Error).message}`, { cause });
  }
  return objectOf(json, 'the config');
}

function wrong(what: string, wanted: string): FormatError {
  return new FormatError('CONFIG_INVALID', `${what} in the image's config is not ${wanted}`);
}

/** Null is what is not there, to Go. */
function objectOf(value: unknown, what: string): Json {
  if (value == null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(what, 'an object');
  return value as Json;
}

function list(value: unknown, what: string): unknown[] {
  if (value == null) return [];
  if (!Array.isArray(value)) throw wrong(what, 'a list');
  return value;
}

function text(value: unknown, what: string): string {
  if (value == null) return '';
  if (typeof value !== 'string') throw wrong(what, 'a text');
  return wellFormed(value);
}

function texts(value: unknown, what: string): string[] {
  return list(value, what).map((item) => text(item, what));
}

function flag(value: unknown, what: string): boolean {
  if (value == null) return false;
  if (typeof value !== 'boolean') throw wrong(what, 'true or false');
  return value;
}

function nonEmpty(name: string, value: string | readonly Written[]): Out {
  return value.length > 0 ? { [name]: value } : {};
}

function optional(name: string, value: string | undefined): Out {
  return value === undefined ? {} : { [name]: value };
}

/** A map whose values are empty objects. */
function set(name: string, value: unknown): Out {
  return map(name, value, (member) => {
    objectOf(member, name);
    return {};
  });
}

function labels(value: unknown): Out {
  return map('Labels', value, (label) => text(label, 'Labels'));
}

function map(name: string, value: unknown, valueOf: (member: unknown) => Written): Out {
  const members = sortedMembers(objectOf(value, name));
  return members.length > 0 ? { [name]: new Map(members.map(([key, member]) => [key, valueOf(member)])) } : {};
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** A time as Go writes it: without zeros at the end of the fraction, nine digits at most, and Z for no offset. */
function time(value: unknown, what: string): string | undefined {
  if (value == null) return undefined;
  const match = typeof value === 'string' ? RFC3339.exec(value) : null;
  if (match === null) throw wrong(what, 'a time');
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours, minutes] = match;
  const days = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
  const fits =
    Number(month) >= 1 &&
    Number(month) <= 12 &&
    Number(day) >= 1 &&
    Number(day) <= days &&
    Number(hour) < 24 &&
    Number(minute) < 60 &&
    Number(second) < 60 &&
    Number(hours ?? 0) < 24 &&
    Number(minutes ?? 0) < 60;
  if (!fits) throw wrong(what, 'a time');
  const digits = fraction.slice(0, 9).replace(/0+$/, '');
  const zone = Number(hours ?? 0) === 0 && Number(minutes ?? 0) === 0 ? 'Z' : `${sign}${hours}:${minutes}`;
  return `${year}-${month}-${day}T${hour}:${minute}:${second}${digits && `.${digits}`}${zone}`;
}
