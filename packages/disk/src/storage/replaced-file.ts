import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FileStorage, openFailure } from './file.ts';

/** A file that is written under another name beside its place, and takes that when it is whole. */
export class ReplacedFile implements AsyncDisposable {
  /** Where to write; the place itself when that is a block device. */
  readonly path: string;
  readonly isDevice: boolean;
  readonly #place: string;
  /** Holds the lock on the file that is replaced, which nobody must be using. */
  readonly #old: FileStorage | undefined;
  #isCommitted = false;

  private constructor(place: string, isDevice: boolean, old: FileStorage | undefined) {
    this.#place = place;
    this.isDevice = isDevice;
    this.#old = old;
    const name = `.${basename(place)}.${randomBytes(6).toString('hex')}`;
    this.path = isDevice ? place : join(dirname(place), name);
  }

  /**
   * @param path what is to be replaced, or made
   * @throws DiskError LOCKED, OPEN_FAILED
   */
  static async prepare(path: string): Promise<ReplacedFile> {
    // A symbolic link stays one.
    const place = await realpath(path).catch(() => path);
    const found = await stat(place).catch(() => undefined);
    const isDevice = found?.isBlockDevice() ?? false;
    // The name that is written under tells nobody anything.
    if (!isDevice) {
      try {
        await access(dirname(place), constants.W_OK);
      } catch (cause) {
        throw openFailure(path, 'created', cause);
      }
    }
    const old = found && !isDevice ? FileStorage.open(place, { writable: true }) : undefined;
    return new ReplacedFile(place, isDevice, old);
  }

  /** Gives the file its place. It must be closed, and on stable storage. */
  async commit(): Promise<void> {
    if (!this.isDevice) {
      if (this.#old) await chmod(this.path, (await stat(this.#place)).mode);
      await rename(this.path, this.#place);
      // The name is part of the folder.
      await using folder = await open(dirname(this.#place));
      await folder.sync();
    }
    this.#isCommitted = true;
  }

  /** Removes what was not committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using _old = this.#old;
    if (!this.#isCommitted && !this.isDevice) await unlink(this.path).catch(() => undefined);
  }
}
