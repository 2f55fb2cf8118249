import * as z from 'zod';
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { parseJson } from './read-file.js';
import { digestSchema } from './records.js';
import { cleanName } from './tar-split.js';

/** Key of the layer's big data with the table of contents of a zstd:chunked layer. */
export const CHUNKED_MANIFEST_KEY = 'zstd-chunked-manifest';

const tableSchema = z.object({
  entries: z.array(z.object({ type: z.string(), name: z.string(), digest: z.string().nullish() })),
});

/**
 * Where the files of a layer lie that the overlay driver stored for composefs: named by the sha256 of
 * their content, `xx/yyyy…`, whatever their names in the tar are.
 * @param table the bytes of the layer's zstd:chunked table of contents
 * @returns clean name in the tar → path below `diff`
 * @throws FormatError `BAD_JSON`, `BAD_DIGEST`
 */
export function flatNames(table: Buffer, layer: string): ReadonlyMap<ByteString, ByteString> {
  const { entries } = parseJson(table, tableSchema, `table of contents of layer ${layer}`);
  const paths = new Map<ByteString, ByteString>();
  for (const { type, name, digest } of entries) {
    if (type !== 'reg' || !digest) continue;
    const clean = cleanName(bytesOf(name));
    if (!digestSchema.safeParse(digest).success) {
      throw new FormatError('BAD_DIGEST', `"${digest}" is not a sha256 digest`, {
        place: { layer, entry: showBytes(clean) },
      });
    }
    const hex = digest.slice('sha256:'.length);
    paths.set(clean, `${hex.slice(0, 2)}/${hex.slice(2)}`);
  }
  return paths;
}
