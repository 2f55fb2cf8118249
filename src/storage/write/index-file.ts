import type { ByteString } from '../../bytes.js';
import type { Fd } from '../../fd/fd.js';
import { STORE_INDEX_LIMIT } from '../../limits.js';
import { readStoreFile } from '../read-file.js';
import { removeIfThere, replaceFile, type FileName } from './atomic-file.js';
import { RawRecord } from './raw-record.js';
import type { WriteLock } from './write-lock.js';

/** layers.json or images.json, in the hands of whoever holds the lock for it. */
export class IndexFile {
  readonly #file: FileName;
  readonly #lock: WriteLock;
  #records: RawRecord[];

  private constructor(file: FileName, lock: WriteLock, records: RawRecord[]) {
    this.#file = file;
    this.#lock = lock;
    this.#records = records;
  }

  /**
   * @param dir stays open until the lock is released
   * @param name of a file that need not be there
   * @param lock guards the file
   * @throws FormatError `BAD_JSON`, `FILE_TOO_LARGE`, `NOT_A_FILE`
   */
  static read(dir: Fd, name: ByteString, lock: WriteLock): IndexFile {
    const index = new IndexFile({ dir, name }, lock, readRecords(dir, name));
    // What a process that died has left.
    removeIfThere(index.#unfinished);
    return index;
  }

  /** In the order of the file. Changes count when `save` is called. */
  get records(): readonly RawRecord[] {
    return this.#records;
  }

  /** The record of this id. */
  find(id: string): RawRecord | undefined {
    return this.#records.find((record) => record.get('id') === id);
  }

  /** Puts a record behind the others. */
  append(record: RawRecord): void {
    this.#records.push(record);
  }

  /** Takes records out. */
  remove(gone: (record: RawRecord) => boolean): void {
    this.#records = this.#records.filter((record) => !gone(record));
  }

  /** Writes the file, whole or not at all. @throws an error with `code` of the system */
  async save(): Promise<void> {
    this.#lock.recordWrite();
    await replaceFile(this.#file, RawRecord.printList(this.#records), this.#unfinished);
  }

  get #unfinished(): FileName {
    return { ...this.#file, name: `.tmp-${this.#file.name}` };
  }
}

/**
 * The records of an index that somebody holds a lock for, shared at least.
 * @throws FormatError `BAD_JSON`, `FILE_TOO_LARGE`, `NOT_A_FILE`
 */
export function readRecords(dir: Fd, name: ByteString): RawRecord[] {
  const bytes = readStoreFile({ dir, owner: undefined }, name, STORE_INDEX_LIMIT);
  return RawRecord.parseList(bytes ?? Buffer.alloc(0), name);
}
