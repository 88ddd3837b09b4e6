import {
  checkQcow2,
  type Disk,
  DiskError,
  detectFormat,
  type Format,
  MemoryStorage,
  mapDisk,
  type OpenDiskOptions,
  openDisk,
} from '../src/index.ts';
import type { SparseImage } from './windows.ts';

const MAX_READ = 20_000;
const MAX_EXTENTS = 200;

/**
 * Does with an image whatever can be done with one. All that may come of hostile bytes is a {@link DiskError}; everything
 * else is thrown, and so is what damages an image that was sound.
 * @param other the file that an image may name `other`, which is only read
 */
export async function exercise(image: SparseImage, format: Format, other: MemoryStorage): Promise<void> {
  const detected = await detectFormat(storageOf(image));
  for (const as of detected === format ? [undefined] : [undefined, format]) {
    const forced = as === undefined ? {} : { format: as };
    await refusesOrWorks(async () => {
      await using disk = await openDisk('image', { ...options(image, other), ...forced });
      await lookAt(disk);
    });
    const written = storageOf(image);
    const wasSound = await isSound(written);
    await refusesOrWorks(async () => {
      await using disk = await openDisk('image', {
        ...options(image, other, written),
        ...forced,
        writable: true,
      });
      await change(disk);
    });
    // As raw, anything may be written to it.
    if (wasSound && as !== 'raw' && !(await isSound(written)))
      throw new Error('writing to a sound image damaged it');
  }
  await refusesOrWorks(() => checkQcow2(storageOf(image), { repair: 'leaks' }));
  await refusesOrWorks(() => checkQcow2(storageOf(image), { repair: 'all' }));
}

/** Opens `image` in memory, and makes up whatever other files it names. */
function options(image: SparseImage, other: MemoryStorage, opened = storageOf(image)): OpenDiskOptions {
  return {
    l2CacheBytes: 0,
    refcountCacheBytes: 0,
    openStorage: (path) => {
      if (path === 'image') return opened;
      if (path === 'other') return other;
      // An image that names itself, or one like it.
      if (path.includes('image')) return storageOf(image, path);
      return MemoryStorage.from(new Uint8Array(9000).fill(3), path);
    },
  };
}

async function lookAt(disk: Disk): Promise<void> {
  for (const position of places(disk)) {
    const length = Math.min(MAX_READ, disk.size - position);
    await refusesOrWorks(() => disk.read(position, new Uint8Array(length)));
  }
  await refusesOrWorks(async () => {
    let count = 0;
    for await (const { length } of mapDisk(disk)) {
      if (!(length > 0)) throw new Error('an extent without a length');
      if (++count > MAX_EXTENTS) break;
    }
  });
}

async function change(disk: Disk): Promise<void> {
  for (const position of places(disk)) {
    const left = disk.size - position;
    await refusesOrWorks(() => disk.write(position, new Uint8Array(Math.min(1700, left)).fill(7)));
    await refusesOrWorks(() => disk.writeZeroes(position, Math.min(3000, left)));
    await refusesOrWorks(() => disk.discard(position, Math.min(3000, left)));
  }
  await refusesOrWorks(() => disk.flush());
  const { size } = disk;
  await refusesOrWorks(() => disk.resize(size + 5000));
  await refusesOrWorks(() => disk.resize(Math.floor(size / 2)));
  await lookAt(disk);
}

/** The start, the end, and between. */
function places({ size }: Disk): readonly number[] {
  return [0, 700, Math.floor(size / 3), size - 1000].filter((position) => position >= 0 && position < size);
}

async function isSound(storage: MemoryStorage): Promise<boolean> {
  try {
    if ((await detectFormat(storage)) !== 'qcow2') return false;
    const { corruptions, leaks } = await checkQcow2(storage);
    return corruptions === 0 && leaks === 0;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return false;
  }
}

async function refusesOrWorks(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
  }
}

/** Storage that holds a copy of an image; what is zero costs nothing. */
function storageOf({ length, pieces }: SparseImage, name?: string): MemoryStorage {
  const storage = new MemoryStorage(name);
  storage.resize(length);
  for (const { position, bytes } of pieces) storage.writeBytes(position, bytes);
  return storage;
}
