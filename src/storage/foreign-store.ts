// A store whose owner is a stranger: what is read from it is only what that user could read, whatever this process may.
import { constants } from 'node:fs';
import { printable, showBytes, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { openBeneath, type Fd } from '../fd/fd.js';
import { isRootOrSelf } from '../fd/peer.js';
import { files } from '../native.js';
import { subordinateIds, subordinateIdService, type IdRange } from './subordinate-ids.js';

const OTHERS_READ = 0o004;
const OTHERS_SEARCH = 0o001;
const O_PATH = 0o10000000;

/** The user whose store is read, when that is neither root nor the caller. */
export class ForeignOwner {
  readonly #uid: number;
  #ids: readonly IdRange[] | undefined;

  constructor(uid: number) {
    this.#uid = uid;
  }

  /** The owner of the first of some folders that belongs to a stranger, or undefined. */
  static of(folders: readonly Fd[]): ForeignOwner | undefined {
    const uid = folders.map((folder) => folder.stat().uid).find((owner) => !isRootOrSelf(owner));
    return uid === undefined ? undefined : new ForeignOwner(uid);
  }

  /**
   * A folder that the user moved into the store, and may not search, would show what is in it.
   * @throws BridgeError `FOREIGN_FILE`
   */
  checkFolder(folder: Fd, name: ByteString): void {
    if (!this.#searches(folder)) throw this.#refused(name, folder.stat().uid, 'search it');
  }

  /**
   * A hard link or a file that was moved into the store may be one that the user cannot read.
   * @param dir a folder that was checked
   * @param name of the file below it
   * @param file the open file
   * @throws BridgeError `FOREIGN_FILE`
   */
  checkFile(dir: Fd, name: ByteString, file: Fd): void {
    const { uid, mode } = file.stat();
    if (this.#owns(uid)) return;
    if ((mode & OTHERS_READ) === 0) throw this.#refused(name, uid, 'read it');
    if (!this.#reaches(dir, name, file)) throw this.#refused(name, uid, 'search the folders above it');
  }

  #owns(uid: number): boolean {
    if (uid === this.#uid) return true;
    this.#ids ??= subordinateIdService() === undefined ? subordinateIds(this.#uid) : [];
    return this.#ids.some(({ first, count }) => uid >= first && uid < first + count);
  }

  #searches(folder: Fd): boolean {
    const { uid, mode } = folder.stat();
    return (mode & OTHERS_SEARCH) !== 0 || this.#owns(uid);
  }

  /** Goes down from folder to folder: names alone could be those of other folders by now. */
  #reaches(dir: Fd, name: ByteString, file: Fd): boolean {
    const folders = name.split('/');
    const last = folders.pop() as string;
    let at = dir.duplicate();
    try {
      for (const folder of folders) {
        const next = openBeneath(at, folder, O_PATH | constants.O_DIRECTORY);
        at.close();
        at = next;
        if (!this.#searches(at)) return false;
      }
      const [found, open] = [files.fstatat(at.number, last), file.stat()];
      return found.ino === open.ino && found.dev === open.dev;
    } finally {
      at.close();
    }
  }

  #unknownRanges(): string {
    const service = subordinateIdService();
    return service === undefined
      ? ''
      : `. Whether it is one of the owner's subordinate ids is not known: "${printable(service)}" has these, as ` +
          '/etc/nsswitch.conf says (subid:), and only the owner asks there';
  }

  #refused(name: ByteString, uid: number, act: string): BridgeError {
    return new BridgeError(
      'FOREIGN_FILE',
      `"${showBytes(name)}" belongs to user ${uid} and not to user ${this.#uid}, whose store this is, and not ` +
        `everybody may ${act}; read the store as its owner${this.#unknownRanges()}`,
    );
  }
}
