// What is kept beside an image, and under which keys. Source: containers/image, image/storage/storage_dest.go.
import * as z from 'zod';
import { parseJson } from '../read-file.js';
import { digestOf, type ImageItem } from './image-record.js';

/** Statements about an image, as containers/image keeps them. */
export interface Signatures {
  /** of the image's manifest; those that the store has stay when this is left out */
  signatures?: readonly Buffer[] | undefined;
  /** of the list that the image was found through */
  listSignatures?: readonly Buffer[] | undefined;
}

/** Keys of what others name the image by. */
const MANIFEST = 'manifest';
const SIGNATURES = 'signatures';

/** What is kept beside an image, in the order in which podman lists it. */
export function imageItems({
  manifest,
  config,
  listManifest,
  signatures,
  listSignatures,
}: {
  manifest: Buffer;
  config: Buffer;
  listManifest?: Buffer | undefined;
} & Signatures): ImageItem[] {
  const of = (bytes: Buffer): string => `signature-${digestOf(bytes).slice('sha256:'.length)}`;
  return [
    { key: digestOf(config), bytes: config },
    ...(listManifest === undefined ? [] : [{ key: `${MANIFEST}-${digestOf(listManifest)}`, bytes: listManifest }]),
    { key: `${MANIFEST}-${digestOf(manifest)}`, bytes: manifest },
    { key: MANIFEST, bytes: manifest },
    ...(signatures?.length ? [SIGNATURES, of(manifest)].map((key) => ({ key, bytes: Buffer.concat(signatures) })) : []),
    ...(listSignatures?.length && listManifest !== undefined
      ? [{ key: of(listManifest), bytes: Buffer.concat(listSignatures) }]
      : []),
  ];
}

/** The same without: as long as what they say is being changed. */
export function metadataWithout(text: string | undefined): string {
  const metadata = parseJson(Buffer.from(text || '{}'), metadataSchema, METADATA);
  delete metadata['signature-sizes'];
  delete metadata['signatures-sizes'];
  return JSON.stringify(metadata);
}

const METADATA = 'metadata of an image';
const metadataSchema = z.looseObject({ 'signatures-sizes': z.record(z.string(), z.unknown()).nullish() });

/**
 * Says in the metadata of an image where its signatures end.
 * @param text metadata that the image has had
 * @throws FormatError `BAD_JSON`
 */
export function metadataWith(
  text: string | undefined,
  {
    manifest,
    listManifest,
    signatures,
    listSignatures,
  }: {
    manifest: Buffer;
    listManifest?: Buffer | undefined;
  } & Signatures,
): string {
  const metadata = parseJson(Buffer.from(text || '{}'), metadataSchema, METADATA);
  const sizes = { ...metadata['signatures-sizes'] };
  if (signatures?.length) {
    metadata['signature-sizes'] = signatures.map(({ length }) => length);
    sizes[digestOf(manifest)] = metadata['signature-sizes'];
  }
  if (listSignatures?.length && listManifest !== undefined)
    sizes[digestOf(listManifest)] = listSignatures.map(({ length }) => length);
  if (Object.keys(sizes).length > 0) metadata['signatures-sizes'] = sizes;
  return JSON.stringify(metadata);
}
