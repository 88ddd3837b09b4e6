import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createDisk, MemoryStorage, RawDisk } from '@tsvmm/disk';
import { describe, expect, test } from 'vitest';
import { type Entry, makeFilesystem, planFilesystem } from '../src/index.ts';
import { complaints, debugfs, extract, Folder, makeImage, run } from './support/tools.ts';

const mtime = { seconds: 1_600_000_000, nanoseconds: 123_456_789 };
const attributes = { mode: 0o644, uid: 1000, gid: 100_000, mtime };
const file = (path: string, bytes: Uint8Array): Entry => ({
  ...attributes,
  type: 'file',
  path,
  size: bytes.length,
  content: () => [{ position: 0, bytes }],
});
const directory = (path: string): Entry => ({ ...attributes, type: 'directory', path, mode: 0o755 });
const fifo = (path: string): Entry => ({ ...attributes, type: 'fifo', path });

/** An access list as getxattr(2) gives it: user::rw- user:1000:rwx group::r-- mask::rwx other::r-- */
const ACL = Buffer.from(
  '0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000400ffffffff',
  'hex',
);

function* everything(): Generator<Entry> {
  yield directory('etc');
  yield file('etc/hello', Buffer.from('hello'));
  yield { type: 'hard-link', path: 'link', target: './etc/hello' };
  yield file('empty', Buffer.alloc(0));
  yield {
    ...attributes,
    type: 'file',
    path: 'sparse',
    size: 40_000_000,
    dataRanges: [
      { position: 10_000_001, length: 5 },
      { position: 35_000_000, length: 3 },
    ],
    content: () => [
      { position: 10_000_001, bytes: Buffer.from('hello') },
      { position: 35_000_000, bytes: Buffer.from('you') },
    ],
  };
  // Every other block is zero: many extents, or pointers.
  const holes = Buffer.alloc(375 * 8192 - 5000);
  for (let at = 0; at < holes.length; at += 8192) holes.fill((at >> 13) + 1, at, at + 3000);
  yield file('holes', holes);
  yield { ...attributes, type: 'symlink', path: 'fast', target: 'x'.repeat(59), mode: 0o777 };
  yield { ...attributes, type: 'symlink', path: 'slow', target: 'x'.repeat(60), mode: 0o777 };
  yield { ...attributes, type: 'character-device', path: 'dev/null', device: { major: 1, minor: 3 } };
  yield { ...attributes, type: 'block-device', path: 'dev/large', device: { major: 259, minor: 70_000 } };
  yield { ...fifo('fifo'), mode: 0o6755 } as Entry;
  yield { ...attributes, type: 'socket', path: 'socket', uid: 4_000_000_000 };
  yield file(Buffer.from([0xff, 0x20, 0x22]).toString('latin1'), Buffer.from('odd'));
}

const KINDS = [
  { type: 'ext4', blockSize: 4096 },
  { type: 'ext4', blockSize: 2048 },
  { type: 'ext4', blockSize: 1024 },
  { type: 'ext4', blockSize: 4096, journal: false },
  { type: 'ext2', blockSize: 4096 },
  { type: 'ext2', blockSize: 2048 },
  { type: 'ext2', blockSize: 1024 },
] as const;

describe.each(KINDS)('$type with blocks of $blockSize bytes', (options) => {
  test('holds every type of file, as e2fsprogs sees it', async () => {
    using folder = new Folder();
    const image = folder.file('image');
    await makeImage(image, everything, { ...options, label: 'hello' });
    expect(complaints(image)).toBe('');

    const stat = (path: string) => debugfs(image, `stat "${path}"`);
    expect(stat('etc/hello')).toMatch(/Type: regular +Mode: +0644/);
    expect(stat('etc/hello')).toMatch(/User: +1000 +Group: +100000 .*Size: 5\n/);
    expect(stat('etc/hello')).toMatch(/Links: 2 /);
    expect(stat('etc/hello')).toContain('mtime: 0x5f5e1000:1d6f3454');
    expect(stat('sparse')).toMatch(/Size: 40000000\n/);
    expect(Number(/Blockcount: (\d+)/.exec(stat('sparse'))?.[1])).toBeLessThan(200);
    expect(stat('fast')).toContain('Fast link dest: "xxx');
    expect(stat('slow')).toMatch(/Type: symlink.*Size: 60\n.*(BLOCKS|EXTENTS):\n\(0\)/s);
    expect(stat('dev/null')).toMatch(/Device major\/minor number: 01:03/);
    expect(stat('dev/large')).toMatch(/Device major\/minor number: 259:70000/);
    expect(stat('fifo')).toMatch(/Type: FIFO +Mode: +06755/);
    // 4,000,000,000, which debugfs takes for a signed number.
    expect(stat('socket')).toMatch(/Type: socket.*User: -294967296 /s);
    expect(run('dumpe2fs', ['-h', image])).toMatch(/volume name: +hello\n/);

    const out = folder.file('out');
    run('mkdir', [out]);
    extract(image, out);
    const contents = new Map(
      [...everything()].flatMap((entry) =>
        entry.type === 'file' && entry.path !== 'sparse' ? [[entry.path, entry]] : [],
      ),
    );
    for (const [path, entry] of contents) {
      const [chunk] = (entry as { content(): Iterable<{ bytes: Uint8Array }> }).content();
      expect(Buffer.compare(readFileSync(`${out}/${path}`), Buffer.from(chunk?.bytes ?? [])), `${path}`).toBe(
        0,
      );
    }
    const sparse = readFileSync(`${out}/sparse`);
    expect(sparse.length).toBe(40_000_000);
    expect(sparse.toString('latin1', 10_000_000, 10_000_007)).toBe('\0hello\0');
    expect(sparse.toString('latin1', 34_999_999, 35_000_004)).toBe('\0you\0');
  });

  test('maps files of sizes that the largest maps are for', async () => {
    using folder = new Folder();
    const image = folder.file('image');
    const size = options.type === 'ext4' ? 2 ** 40 : options.blockSize === 1024 ? 2 ** 33 : 2 ** 37;
    const pieces = [0, 2 ** 27, size - 2 ** 20].map((position) => ({ position, length: 3 }));
    const huge: Entry = {
      ...attributes,
      type: 'file',
      path: 'huge',
      size,
      dataRanges: pieces,
      content: () => pieces.map(({ position }) => ({ position, bytes: Buffer.from('abc') })),
    };
    await makeImage(image, () => [huge], options);
    expect(complaints(image)).toBe('');
    const bytes = readFileSync(image);
    for (const { position } of pieces) {
      const block = Number(debugfs(image, `bmap huge ${position / options.blockSize}`));
      expect(bytes.toString('latin1', block * options.blockSize, block * options.blockSize + 4)).toBe(
        'abc\0',
      );
    }
  });

  test('holds attributes in inodes and in blocks that are shared', async () => {
    using folder = new Folder();
    const image = folder.file('image');
    const small = new Map<string, Uint8Array>([
      ['user.a', Buffer.from('one')],
      ['security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex')],
    ]);
    const large = new Map<string, Uint8Array>([
      ['user.large', Buffer.alloc(300, 'v')],
      ['user.b', Buffer.alloc(20, 'b')],
      ['trusted.empty', Buffer.alloc(0)],
      ['system.posix_acl_access', ACL],
    ]);
    const entries = (): Entry[] => [
      { ...attributes, type: 'fifo', path: 'small', xattrs: small },
      { ...attributes, type: 'directory', path: 'large', xattrs: large },
      ...Array.from({ length: 1030 }, (_, i) => ({ ...fifo(`many/${i}`), xattrs: large }) as Entry),
    ];
    const { freeBytes, size } = await makeImage(image, entries, options);
    expect(size - freeBytes).toBeLessThan(10e6);
    expect(complaints(image)).toBe('');
    expect(debugfs(image, 'ea_list small')).toBe(
      'Extended attributes:\n  user.a (3) = "one"\n  security.capability (20) = 01 00 00 02 00 20 00 00 00 00 00 00 00 00 00 00 00 00 00 00 \n',
    );
    expect(debugfs(image, 'ea_get large user.large')).toContain('v'.repeat(300));
    expect(debugfs(image, 'ea_list large')).toContain('trusted.empty (0)');
    // The form on the disk: version 1, and no room for names that nobody has.
    expect(debugfs(image, 'ea_list many/7')).toContain(
      'system.posix_acl_access (28) = 01 00 00 00 01 00 06 00 02 00 07 00 e8 03 00 00 04 00 04 00 10 00 07 00 20 00 04 00',
    );
  });

  test('finds names in large directories', async () => {
    using folder = new Folder();
    const image = folder.file('image');
    const names = Array.from(
      { length: 8000 },
      (_, i) => `${i % 3 === 0 ? 'ä' : ''}${i}-${'n'.repeat(i % 40)}`,
    );
    const entries = () => names.map((name) => fifo(`many/${name}`));
    await makeImage(image, entries, options);
    // e2fsck hashes each name and looks whether it is in the right block.
    expect(complaints(image)).toBe('');
    expect(debugfs(image, 'stat many')).toMatch(/Flags: 0x(8)?1000\n/);
    const listed = debugfs(image, 'ls -p many')
      .split('\n')
      .map((line) => line.split('/')[5])
      .filter((name) => name !== undefined && !['', '.', '..'].includes(name));
    expect(new Set(listed)).toEqual(new Set(names));
  });
});

test.each([4, 5, 6, 7])(
  'two names of one hash on both sides of a block that ends, with %i before',
  async (count) => {
    using folder = new Folder();
    const image = folder.file('image');
    // debugfs -R 'dx_hash -h half_md4 -s SEED NAME' gives 0xdfdefb32 for both of the first.
    const hashSeed = '00112233-4455-6677-8899-aabbccddeeff';
    const numbers = [76_390, 133_664, ...Array.from({ length: count }, (_, index) => index)];
    const names = numbers.map((number) => `${number}-${'n'.repeat(230)}`);
    await makeImage(image, () => names.map((name) => fifo(`many/${name}`)), { blockSize: 1024, hashSeed });
    expect(complaints(image)).toBe('');
    for (const name of names) expect(debugfs(image, `stat many/${name}`)).toMatch(/Type: FIFO/);
  },
);

test('more subdirectories than links can count', async () => {
  using folder = new Folder();
  const image = folder.file('image');
  const entries = () => Array.from({ length: 66_000 }, (_, i) => directory(`many/${i}`));
  await makeImage(image, entries);
  expect(complaints(image)).toBe('');
  expect(debugfs(image, 'stat many')).toMatch(/Links: 1 /);
  await expect(makeImage(folder.file('other'), entries, { type: 'ext2' })).rejects.toMatchObject({
    code: 'TOO_LARGE',
    path: 'many',
  });
}, 120_000);

test('a tree of 100,000 files', async () => {
  using folder = new Folder();
  const image = folder.file('image');
  const COUNT = 100_000;
  // A few directories with ten thousand names each, and many with a hundred.
  const nameOf = (index: number) =>
    index % 2 === 0 ? `large-${index % 10}/name-${index}` : `small-${index % 499}/name-${index}`;
  const lengthOf = (index: number) => (index % 1000 === 0 ? 5000 : 0);
  const directories = new Set<string>();
  function* entries(): Generator<Entry> {
    for (let i = 0; i < COUNT; i++) yield file(nameOf(i), Buffer.alloc(lengthOf(i), 'x'));
  }
  for (let i = 0; i < COUNT; i++) directories.add(nameOf(i).split('/')[0] ?? '');
  await makeImage(image, entries);
  expect(complaints(image)).toBe('');
  const expected = new Map(Array.from({ length: COUNT }, (_, i) => [nameOf(i), lengthOf(i)]));
  const paths = [...directories];
  // debugfs lists a name in a line of `/inode/mode/uid/gid/name/size/`.
  const listing = debugfs(image, ...paths.flatMap((path) => [`cd /${path}`, 'pwd', 'ls -p']));
  const wrong: string[] = [];
  let path = '';
  for (const line of listing.split('\n')) {
    const here = /^\[pwd\]\s+INODE:\s+\d+\s+PATH: \/(.*)$/.exec(line)?.[1];
    if (here !== undefined) path = here;
    const [, , mode, uid, , name, size] = line.split('/');
    if (!/^\/\d/.test(line) || name === '.' || name === '..') continue;
    const length = expected.get(`${path}/${name}`);
    if (mode !== '100644' || uid !== '1000' || size !== String(length)) wrong.push(line);
    expected.delete(`${path}/${name}`);
  }
  expect(wrong).toEqual([]);
  expect(expected.size).toBe(0);
});

test('the same entries and numbers give the same bytes, in any format of disk', async () => {
  using folder = new Folder();
  const uuid = '01234567-89ab-cdef-0123-456789abcdef';
  const options = { uuid, hashSeed: uuid, time: 1_700_000_000 };
  await makeImage(folder.file('one'), everything, options);
  const plan = await planFilesystem(everything(), options);
  {
    await using disk = await createDisk(folder.file('two'), { format: 'qcow2', size: plan.size });
    await makeFilesystem(disk, everything(), { ...options, ...plan });
  }
  expect(run('qemu-img', ['compare', folder.file('one'), folder.file('two')])).toContain('identical');
  const storage = new MemoryStorage();
  storage.resize(plan.size);
  // What was there before is gone.
  storage.writeBytes(0, Buffer.alloc(plan.size, 0xee));
  await makeFilesystem(new RawDisk(storage), everything(), { ...options, ...plan });
  const third = folder.file('three');
  writeFileSync(third, storage.toBytes());
  expect(complaints(third)).toBe('');
  expect(run('blkid', ['-p', '-o', 'export', third])).toContain(uuid);
  const hash = (path: string) =>
    createHash('sha256')
      .update(debugfs(path, 'stat /', 'stat holes'))
      .digest('hex');
  expect(hash(third)).toBe(hash(folder.file('one')));
});

test.each([
  ['ext4', 2 ** 44],
  ['ext4', 2 ** 44 + 2 ** 40],
  ['ext2', 2 ** 42],
] as const)(
  '%s of %d bytes is a small file',
  async (type, size) => {
    using folder = new Folder();
    const image = folder.file('image');
    {
      await using disk = await createDisk(image, { format: 'raw', size });
      await makeFilesystem(disk, everything(), { type, inodeRatio: 2 ** 22 });
    }
    expect(statSync(image).blocks * 512).toBeLessThan(type === 'ext4' ? 2 ** 28 : 2 ** 31);
    const dump = run('dumpe2fs', ['-h', image]);
    expect(dump).toMatch(new RegExp(`Block count: +${size / 4096}\n`));
    if (type === 'ext4') expect(debugfs(image, 'cat etc/hello')).toContain('hello');
  },
  120_000,
);

test('grows as resize2fs lets it', async () => {
  using folder = new Folder();
  const image = folder.file('image');
  await makeImage(image, everything);
  run('truncate', ['-s', '3G', image]);
  run('resize2fs', [image]);
  expect(complaints(image)).toBe('');
  expect(debugfs(image, 'cat etc/hello')).toContain('hello');
});

describe('what cannot be is refused', () => {
  const make = async (entries: readonly Entry[], options = {}) => {
    const storage = new MemoryStorage();
    storage.resize(2 ** 23);
    return await makeFilesystem(new RawDisk(storage), entries, options);
  };
  test.each([
    ['BAD_PATH', 'absolute', [fifo('/etc/passwd')]],
    ['BAD_PATH', '..', [fifo('a/../../etc')]],
    ['BAD_PATH', 'NUL', [fifo('a\0b')]],
    ['BAD_PATH', 'long', [fifo('n'.repeat(256))]],
    ['DUPLICATE', 'twice', [fifo('a'), fifo('./a')]],
    ['DUPLICATE', 'a directory in place of a file', [fifo('a'), directory('a')]],
    ['DUPLICATE', 'a file in place of a directory', [directory('a'), fifo('a')]],
    ['DUPLICATE', 'the root as a file', [fifo('.')]],
    ['NOT_A_DIRECTORY', 'below a file', [fifo('a'), fifo('a/b')]],
    ['BAD_LINK', 'a link to nothing', [{ type: 'hard-link', path: 'a', target: 'b' }]],
    ['BAD_LINK', 'a link out of the tree', [{ type: 'hard-link', path: 'a', target: '../b' }]],
    ['BAD_LINK', 'a link to a directory', [directory('d'), { type: 'hard-link', path: 'a', target: 'd' }]],
    ['BAD_PATH', 'a symlink to nothing', [{ ...attributes, type: 'symlink', path: 's', target: '' }]],
    ['BAD_PATH', 'a long symlink', [{ ...attributes, type: 'symlink', path: 's', target: 'x'.repeat(5000) }]],
    ['TOO_LARGE', 'an owner of 33 bits', [{ ...attributes, type: 'fifo', path: 'f', uid: 2 ** 32 }]],
    [
      'TOO_LARGE',
      'a device',
      [{ ...attributes, type: 'block-device', path: 'f', device: { major: 4096, minor: 0 } }],
    ],
    [
      'TOO_LARGE',
      'a large file',
      [{ ...attributes, type: 'file', path: 'f', size: 2 ** 44, content: () => [] }],
    ],
    [
      'BAD_ATTRIBUTE',
      'an odd attribute',
      [{ ...fifo('f'), xattrs: new Map([['odd.name', Buffer.alloc(1)]]) }],
    ],
    [
      'BAD_ATTRIBUTE',
      'an ACL',
      [{ ...fifo('f'), xattrs: new Map([['system.posix_acl_access', Buffer.alloc(7)]]) }],
    ],
    ['TOO_LARGE', 'a large attribute', [{ ...fifo('f'), xattrs: new Map([['user.x', Buffer.alloc(5000)]]) }]],
    ['NO_SPACE', 'more than there is room for', [file('f', Buffer.alloc(2 ** 23, 1))]],
    ['NO_INODES', 'more files than inodes', Array.from({ length: 2000 }, (_, i) => fifo(`${i}`))],
    [
      'BAD_CONTENT',
      'more bytes than announced',
      [
        {
          ...attributes,
          type: 'file',
          path: 'f',
          size: 2,
          content: () => [{ position: 0, bytes: Buffer.alloc(3) }],
        },
      ],
    ],
  ] as [string, string, Entry[]][])('%s: %s', async (code, _, entries) => {
    await expect(make(entries)).rejects.toMatchObject({ name: 'Ext2Error', code });
  });

  test.each([
    { blockSize: 512 },
    { type: 'ext3' },
    { type: 'ext2', journal: true },
    { label: 'x'.repeat(17) },
    { uuid: 'no' },
    { size: 2 ** 40 },
    { inodes: 1e9 },
    { inodeRatio: 1 },
    { time: -1 },
  ])('%j', async (options) => {
    await expect(make([], options)).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });

  test('a file system without room for its metadata', async () => {
    await expect(make([], { size: 20_000 })).rejects.toMatchObject({ code: 'NO_SPACE' });
  });
});
