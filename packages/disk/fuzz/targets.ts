import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

/** A format that is fuzzed. */
export interface Target {
  /** What the bytes are opened as, besides what they say they are. */
  readonly format: Format;
  /** Well-formed images to start from, small, each showing something else of the format. */
  seeds(): Promise<readonly Uint8Array[]>;
}

/** What can be fuzzed, by the name that the command line takes. */
export const TARGETS: Readonly<Record<string, Target>> = {
  qcow2: { format: 'qcow2', seeds: qcow2Seeds },
  composite: { format: 'composite', seeds: compositeSeeds },
  'android-sparse': {
    format: 'android-sparse',
    seeds: async () => sparseContents().map((c) => androidSparse(c, 512)),
  },
  zstd: { format: 'zstd', seeds: async () => sparseContents().flatMap(zstdSeeds) },
  vmdk: {
    format: 'vmdk',
    seeds: () =>
      qemuSeeds('vmdk', ['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'streamOptimized']),
  },
  vhd: { format: 'vhd', seeds: () => qemuSeeds('vpc', ['dynamic', 'fixed']) },
  vhdx: { format: 'vhdx', seeds: () => qemuSeeds('vhdx', ['dynamic']) },
  // Detection: every image, and what is none.
  raw: {
    format: 'raw',
    seeds: async () => [
      ...(await compositeSeeds()),
      ...(await qcow2Seeds()).slice(0, 1),
      androidSparse(new Uint8Array(1024), 512),
      zstdSeekable(new Uint8Array(1024), 512),
      new Uint8Array(512),
      new Uint8Array(0),
    ],
  },
};

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

/** Images that only others make. */
async function qemuSeeds(format: string, subformats: readonly string[]): Promise<readonly Uint8Array[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-fuzz-'));
  try {
    const raw = join(folder, 'raw');
    writeFileSync(raw, new Uint8Array(100_352).fill(3, 70_000, 80_000));
    return subformats.map((subformat) => {
      const image = join(folder, subformat);
      execFileSync('qemu-img', [
        'convert',
        '-f',
        'raw',
        '-O',
        format,
        '-o',
        `subformat=${subformat}`,
        raw,
        image,
      ]);
      return readFileSync(image);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
