import type { ByteString } from '../bytes.js';
import type { Regular } from '../tree/tree.js';
import type { LoaderEntry } from './loader-entry.js';
import type { ReadPart } from './portable-executable.js';

/** One way to boot a system. */
export type BootEntry =
  /** `files` are those that the entry names, by the path in it. */
  | {
      readonly kind: 'loader';
      readonly name: ByteString;
      readonly text: LoaderEntry;
      readonly files: ReadonlyMap<ByteString, Regular>;
    }
  /** `path` is the place below `EFI/Linux`; an addon is for one kernel or for all. */
  | { readonly kind: 'efi'; readonly path: ByteString; readonly file: Regular; readonly addon: boolean }
  | {
      readonly kind: 'kernel';
      readonly version: ByteString;
      readonly vmlinuz: Regular;
      readonly initramfs: Regular | undefined;
      readonly osRelease: Regular | undefined;
    }
  | { readonly kind: 'android'; readonly path: ByteString };

/** How the content of a tree's files is read. */
export interface BootFiles {
  /** @throws when it is longer than any text */
  text(file: Regular): Buffer;
  /** Gives a reader of parts to `use`, which must not keep it. */
  parts<T>(file: Regular, use: (read: ReadPart) => T): T;
}
