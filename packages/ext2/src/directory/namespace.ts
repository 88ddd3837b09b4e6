import type { DirectoryEntry, Name } from '../entry.ts';
import { Ext2Error } from '../errors.ts';
import { shownName, splitPath } from './path.ts';
import { type Dirent, DirentType } from './records.ts';

/** A directory of the tree that grows. */
export interface Directory {
  readonly inode: number;
  readonly parent: Directory | undefined;
  /** By name, with one character for a byte. */
  readonly children: Map<string, Directory | Leaf>;
  /** What its entry said last; undefined as long as there was none. */
  attributes: DirectoryEntry | undefined;
  subdirectories: number;
}

/** What is no directory, as `inode * 8 + type` of {@link DirentType}: it is one number since there are many. */
export type Leaf = number & { readonly __leaf: never };

/** The names of a file system. Inodes are numbered in the order in which names first come. */
export class Namespace {
  readonly root: Directory;
  readonly #allocateInode: () => number;
  readonly #directories: Directory[] = [];

  /** @param rootInode number of the root's inode; the others are `allocateInode`'s */
  constructor(rootInode: number, allocateInode: () => number) {
    this.#allocateInode = allocateInode;
    this.root = this.#newDirectory(rootInode, undefined);
  }

  /** All, a parent before its children. */
  get directories(): readonly Directory[] {
    return this.#directories;
  }

  /** @throws Ext2Error BAD_PATH, DUPLICATE, NOT_A_DIRECTORY */
  addDirectory(entry: DirectoryEntry): Directory {
    const names = splitPath(entry.path);
    const directory = this.#descend(names, names.length, entry.path);
    directory.attributes = entry;
    return directory;
  }

  /**
   * Adds a name for a new inode.
   * @returns the inode's number
   * @throws Ext2Error BAD_PATH, DUPLICATE, NOT_A_DIRECTORY
   */
  addLeaf(path: Name, type: keyof typeof DirentType): number {
    const { parent, name } = this.#place(path);
    const inode = this.#allocateInode();
    parent.children.set(name, toLeaf(inode, DirentType[type]));
    return inode;
  }

  /**
   * Adds a name for an inode that has one.
   * @returns the inode's number
   * @throws Ext2Error BAD_PATH, DUPLICATE, NOT_A_DIRECTORY, BAD_LINK
   */
  addLink(path: Name, target: Name): number {
    const refuse = (why: string, cause?: unknown) =>
      new Ext2Error('BAD_LINK', `is a hard link to ${JSON.stringify(shownName(target))}, ${why}.`, {
        path: shownName(path),
        cause,
      });
    const leaf = this.#find(target, refuse);
    if (leaf === undefined) throw refuse('which is not there, or comes later');
    if (typeof leaf === 'object') throw refuse('which is a directory');
    const { parent, name } = this.#place(path);
    parent.children.set(name, leaf);
    return inodeOf(leaf);
  }

  #find(path: Name, refuse: (why: string, cause: unknown) => Ext2Error): Directory | Leaf | undefined {
    let names: readonly string[];
    try {
      names = splitPath(path);
    } catch (cause) {
      throw refuse('which is no name of this tree', cause);
    }
    let at: Directory | Leaf | undefined = this.root;
    for (const name of names) at = typeof at === 'object' ? at.children.get(name) : undefined;
    return at;
  }

  /** Where a new name goes. */
  #place(path: Name): { readonly parent: Directory; readonly name: string } {
    const names = splitPath(path);
    const name = names.at(-1);
    if (name === undefined) {
      throw new Ext2Error('DUPLICATE', 'the root is a directory.', { path: shownName(path) });
    }
    const parent = this.#descend(names, names.length - 1, path);
    if (parent.children.has(name)) {
      throw new Ext2Error('DUPLICATE', 'the name is there already.', { path: shownName(path) });
    }
    return { parent, name };
  }

  /** The directory that the first `depth` names lead to; those that are missing are made. */
  #descend(names: readonly string[], depth: number, path: Name): Directory {
    let directory = this.root;
    for (let i = 0; i < depth; i++) {
      const name = names[i] ?? '';
      let child = directory.children.get(name);
      if (child === undefined) {
        child = this.#newDirectory(this.#allocateInode(), directory);
        directory.children.set(name, child);
        directory.subdirectories++;
      }
      if (typeof child !== 'object') {
        const isLast = i === names.length - 1;
        const above = Buffer.from(names.slice(0, i + 1).join('/'), 'latin1').toString();
        throw isLast
          ? new Ext2Error('DUPLICATE', 'the name is there already, for something else than a directory.', {
              path: shownName(path),
            })
          : new Ext2Error('NOT_A_DIRECTORY', `${JSON.stringify(above)} is no directory.`, {
              path: shownName(path),
            });
      }
      directory = child;
    }
    return directory;
  }

  #newDirectory(inode: number, parent: Directory | undefined): Directory {
    const directory: Directory = {
      inode,
      parent,
      children: new Map(),
      attributes: undefined,
      subdirectories: 0,
    };
    this.#directories.push(directory);
    return directory;
  }
}

/** The entries of a directory, without `.` and `..`, in the order in which they came. */
export function direntsOf(directory: Directory): readonly Dirent[] {
  return Array.from(directory.children, ([name, child]) => ({
    name: Buffer.from(name, 'latin1'),
    inode: typeof child === 'object' ? child.inode : inodeOf(child),
    type: typeof child === 'object' ? DirentType.directory : child % 8,
  }));
}

/** A path of a directory, for messages. */
export function pathOf(directory: Directory): string {
  const names: string[] = [];
  for (let at = directory; at.parent; at = at.parent) {
    for (const [name, child] of at.parent.children) if (child === at) names.unshift(name);
  }
  return Buffer.from(names.join('/'), 'latin1').toString();
}

function toLeaf(inode: number, type: number): Leaf {
  return (inode * 8 + type) as Leaf;
}

function inodeOf(leaf: Leaf): number {
  return Math.floor(leaf / 8);
}
