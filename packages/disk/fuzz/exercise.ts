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

const MAX_READ = 20_000;
const MAX_EXTENTS = 200;

/**
 * Does with an image whatever can be done with one. All that may come of hostile bytes is a {@link DiskError}; everything
 * else is thrown, and so is what damages an image that was sound.
 * @param other the contents of the file that an image may name `other`
 */
export async function exercise(
  bytes: Uint8Array,
  format: Format,
  other: Uint8Array = new Uint8Array(0),
): Promise<void> {
  const detected = await detectFormat(storageOf(bytes));
  for (const as of detected === format ? [undefined] : [undefined, format]) {
    const forced = as === undefined ? {} : { format: as };
    await refusesOrWorks(async () => {
      await using disk = await openDisk('image', { ...options(bytes, other), ...forced });
      await lookAt(disk);
    });
    const written = storageOf(bytes);
    const wasSound = await isSound(written);
    await refusesOrWorks(async () => {
      await using disk = await openDisk('image', {
        ...options(bytes, other, written),
        ...forced,
        writable: true,
      });
      await change(disk);
    });
    // As raw, anything may be written to it.
    if (wasSound && as !== 'raw' && !(await isSound(written)))
      throw new Error('writing to a sound image damaged it');
  }
  await refusesOrWorks(() => checkQcow2(storageOf(bytes), { repair: 'leaks' }));
  await refusesOrWorks(() => checkQcow2(storageOf(bytes), { repair: 'all' }));
}

/** Opens `image` in memory, and makes up whatever other files it names. */
function options(bytes: Uint8Array, other: Uint8Array, image = storageOf(bytes)): OpenDiskOptions {
  return {
    l2CacheBytes: 0,
    refcountCacheBytes: 0,
    openStorage: (path) => {
      if (path === 'image') return image;
      if (path === 'other') return storageOf(other, path);
      // An image that names itself, or one like it.
      return storageOf(path.includes('image') ? bytes : new Uint8Array(9000).fill(3), path);
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

const PAGE = 64 * 1024;
const ZEROES = Buffer.alloc(PAGE);

/** Storage that holds a copy of `bytes`; what is zero, which is most of some images, costs nothing. */
function storageOf(bytes: Uint8Array, name?: string): MemoryStorage {
  const storage = new MemoryStorage(name);
  storage.resize(bytes.length);
  for (let at = 0; at < bytes.length; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE);
    if (ZEROES.compare(page, 0, page.length, 0, page.length) !== 0) storage.writeBytes(at, page);
  }
  return storage;
}
