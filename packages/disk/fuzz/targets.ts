import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget, FuzzTargets } from '../../../tools/fuzz/target.ts';
import {
  createCompositeDisk,
  createDisk,
  type Format,
  formatQcow2,
  MemoryStorage,
  openDisk,
  Qcow2Disk,
  type Qcow2Format,
} from '../src/index.ts';
import { androidSparse, zstdSeekable } from '../test/support/builders.ts';
import { differencingVhd, vhdxImage } from '../test/support/microsoft.ts';
import { exercise } from './exercise.ts';
import { pack, unpack, type Window } from './windows.ts';

/** What lies between is the contents of the disk, or zero. */
const VHD_WINDOWS: readonly Window[] = [
  { position: 0, length: 4096 },
  { position: -512, length: 512 },
];
const KIB = 1024;
const MIB = 2 ** 20;
const VHDX_WINDOWS: readonly Window[] = [
  { position: 0, length: 512 },
  { position: 64 * KIB, length: 512 },
  { position: 128 * KIB, length: 512 },
  { position: 192 * KIB, length: 512 },
  { position: 256 * KIB, length: 512 },
  { position: 2 * MIB, length: 1024 },
  { position: 2 * MIB + 64 * KIB, length: 1024 },
  { position: 3 * MIB, length: 1024 },
  { position: 3 * MIB + 32 * KIB, length: 512 },
  { position: 4 * MIB, length: 1024 },
  { position: 5 * MIB, length: 1024 },
];

/** What can be fuzzed, by the name that the command line takes. */
export const TARGETS: FuzzTargets = {
  qcow2: target('qcow2', qcow2Seeds),
  composite: target('composite', compositeSeeds),
  'android-sparse': target('android-sparse', async () => sparseContents().map((c) => androidSparse(c, 512))),
  zstd: target('zstd', async () => sparseContents().flatMap(zstdSeeds)),
  vmdk: target('vmdk', vmdkSeeds, { other: vmdkExtent }),
  vhd: target('vhd', vhdSeeds, { windows: VHD_WINDOWS, other: vhdBase }),
  vhdx: target('vhdx', vhdxSeeds, { windows: VHDX_WINDOWS, other: vhdxBase }),
  // Detection: every image, and what is none.
  raw: target('raw', async () => [
    ...(await compositeSeeds()),
    ...(await qcow2Seeds()).slice(0, 1),
    androidSparse(new Uint8Array(1024), 512),
    zstdSeekable(new Uint8Array(1024), 512),
    new Uint8Array(512),
    new Uint8Array(0),
  ]),
};

/** @param format what the bytes are opened as, besides what they say they are */
function target(
  format: Format,
  seeds: () => Promise<readonly Uint8Array[]>,
  {
    windows,
    other = () => new Uint8Array(0),
  }: { readonly windows?: readonly Window[]; readonly other?: () => Uint8Array } = {},
): FuzzTarget {
  let otherStorage: MemoryStorage | undefined;
  return {
    seeds: async () => (windows ? (await seeds()).map((image) => pack(image, windows)) : await seeds()),
    exercise: async (bytes) => {
      otherStorage ??= MemoryStorage.from(other(), 'other');
      const image = windows
        ? unpack(bytes, windows)
        : { length: bytes.length, pieces: [{ position: 0, bytes }] };
      await exercise(image, format, otherStorage);
    },
  };
}

function sparseContents(): readonly Uint8Array[] {
  const mixed = new Uint8Array(6000).fill(9, 600, 3000);
  for (let i = 4000; i < 6000; i++) mixed[i] = i * 7;
  return [mixed, new Uint8Array(1024)];
}

function zstdSeeds(contents: Uint8Array): readonly Uint8Array[] {
  return [zstdSeekable(contents, 700), zstdSeekable(contents, contents.length, true)];
}

const QCOW2_FORMATS: readonly Omit<Qcow2Format, 'size'>[] = [
  { clusterSize: 512 },
  { clusterSize: 512, version: 2 },
  { clusterSize: 512, refcountBits: 1, lazyRefcounts: true },
  { clusterSize: 512, refcountBits: 64, backing: { file: 'base', format: 'raw' } },
  { clusterSize: 512, compressionType: 'zstd' },
  { clusterSize: 512, dataFile: { file: 'data' } },
  { clusterSize: 16384, extendedL2: true },
];

async function qcow2Seeds(): Promise<readonly Uint8Array[]> {
  const seeds: Uint8Array[] = [];
  for (const format of QCOW2_FORMATS) {
    const storage = new MemoryStorage();
    await formatQcow2(storage, { ...format, size: 100_000 });
    await using disk = await openDisk('seed', {
      writable: true,
      openStorage: (path) => (path === 'seed' ? storage : MemoryStorage.from(new Uint8Array(9000).fill(3))),
    });
    await disk.write(700, new Uint8Array(1500).fill(1));
    await disk.writeZeroes(1024, 512);
    await disk.write(99_000, new Uint8Array(100).fill(2));
    if (disk instanceof Qcow2Disk && !format.dataFile) {
      const cluster = 2 ** disk.header.clusterBits;
      await disk.writeCompressed(2 * cluster, new Uint8Array(cluster).fill(5));
      await disk.writeCompressed(3 * cluster, new Uint8Array(cluster).fill(6));
    }
    await disk.flush();
    seeds.push(storage.toBytes());
  }
  return seeds;
}

async function compositeSeeds(): Promise<readonly Uint8Array[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-fuzz-'));
  try {
    for (const name of ['a', 'b']) {
      await using _disk = await createDisk(join(folder, name), { format: 'raw', size: 8192 });
    }
    await createCompositeDisk(join(folder, 'disk'), [
      { label: 'a', path: join(folder, 'a'), writable: true },
      { label: 'b', path: join(folder, 'b') },
    ]);
    const whole = readFileSync(join(folder, 'disk'));
    await createCompositeDisk(join(folder, 'disk'), []);
    return [whole, readFileSync(join(folder, 'disk'))];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function vmdkSeeds(): Promise<readonly Uint8Array[]> {
  const whole = ['monolithicSparse', 'streamOptimized'].flatMap((subformat) => qemuFiles('vmdk', subformat));
  const [descriptor = Buffer.alloc(0)] = qemuFiles('vmdk', 'twoGbMaxExtentSparse');
  const [flat = Buffer.alloc(0)] = qemuFiles('vmdk', 'monolithicFlat');
  const inParts = [descriptor, flat].map((bytes) =>
    Buffer.from(bytes.toString('latin1').replace(/"[^"]*\.vmdk"/, '"other"'), 'latin1'),
  );
  const based = inParts.map((bytes) =>
    Buffer.from(
      bytes.toString('latin1').replace(/parentCID=\w+/, 'parentCID=fffffffe\nparentFileNameHint="image"'),
      'latin1',
    ),
  );
  return [...whole, ...inParts, ...based];
}

/** What the disks in several files are made of. */
function vmdkExtent(): Uint8Array {
  return qemuFiles('vmdk', 'twoGbMaxExtentSparse')[1] ?? Buffer.alloc(0);
}

async function vhdSeeds(): Promise<readonly Uint8Array[]> {
  return [
    ...qemuFiles('vpc', 'dynamic'),
    differencingVhd(vhdBase(), '.\\other', [0, 2, 3], Buffer.alloc(512, 5)),
    differencingVhd(vhdBase(), '.\\image', [1], Buffer.alloc(512, 5)),
  ];
}

function vhdBase(): Buffer {
  return qemuFiles('vpc', 'dynamic')[0] ?? Buffer.alloc(0);
}

async function vhdxSeeds(): Promise<readonly Uint8Array[]> {
  const bytes = Buffer.alloc(5000, 9);
  const child = (name: string) =>
    vhdxImage({
      size: 4 * 2 ** 20,
      id: 7,
      parent: { parent_linkage: '{07070707-0707-0707-0707-070707070707}', relative_path: name },
      blocks: [
        { state: 'not-present' },
        { state: 'partial', bytes, sectors: [0, 2, 3, 9] },
        { state: 'zero' },
        { state: 'undefined' },
      ],
    });
  return [...qemuFiles('vhdx', 'dynamic,block_size=1M'), vhdxBase(), child('other'), child('image')];
}

function vhdxBase(): Buffer {
  return vhdxImage({ size: 2 ** 21, id: 7, blocks: [{ state: 'full', bytes: Buffer.alloc(5000, 4) }] });
}

/** The image, and whatever other files it has, that QEMU makes. */
function qemuFiles(format: string, subformat: string): readonly Buffer[] {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-fuzz-'));
  try {
    const raw = join(folder, 'raw');
    writeFileSync(raw, new Uint8Array(100_352).fill(3, 70_000, 80_000));
    const image = join(folder, 'image.vmdk');
    execFileSync('qemu-img', [
      'convert',
      ...['-f', 'raw', '-O', format, '-o', `subformat=${subformat}`],
      raw,
      image,
    ]);
    const others = readdirSync(folder).filter((name) => name.startsWith('image-'));
    return [image, ...others.toSorted().map((name) => join(folder, name))].map((path) => readFileSync(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
