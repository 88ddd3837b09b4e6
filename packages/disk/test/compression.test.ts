import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { convertDisk, createDisk, Qcow2Disk } from '../src/index.ts';
import { Folder, qemuCheck, qemuImg } from './support/qemu.ts';

const CLUSTER = 65536;
const CLUSTERS = 120;

/** Clusters that take very different times: random bytes are given up at once, text is not, and zeroes are left out. */
function makeContents(): Buffer {
  const contents = Buffer.alloc(CLUSTERS * CLUSTER - 700);
  for (let n = 0; n < CLUSTERS; n++) {
    const cluster = contents.subarray(n * CLUSTER, (n + 1) * CLUSTER);
    if (n % 4 === 0) randomBytes(cluster.length).copy(cluster);
    else if (n % 4 === 1) cluster.fill(`cluster ${n} says little. `);
    else if (n % 4 === 2) for (let i = 0; i < cluster.length; i++) cluster[i] = ((i * i) >> 9) % (n + 3);
  }
  return contents;
}

test.each(['zlib', 'zstd'] as const)(
  'threads that compress %s make the image that one would',
  async (type) => {
    using folder = new Folder();
    const file = (name: string) => folder.file(name);
    const [raw, one, other, third] = [file('raw'), file('one'), file('other'), file('third')];
    const contents = makeContents();
    writeFileSync(raw, contents);
    const destination = { format: 'qcow2', compressionType: type } as const;
    await convertDisk(raw, one, { destination, compress: true });
    await convertDisk(raw, other, { destination, compress: true });
    expect(readFileSync(other).equals(readFileSync(one))).toBe(true);
    {
      // One after the other.
      await using disk = await createDisk(third, { ...destination, size: contents.length });
      if (!(disk instanceof Qcow2Disk)) throw new Error('not qcow2');
      for (let n = 0; n < CLUSTERS; n++) {
        const cluster = contents.subarray(n * CLUSTER, (n + 1) * CLUSTER);
        if (n % 4 !== 3) await disk.writeCompressed(n * CLUSTER, cluster);
      }
    }
    expect(readFileSync(third).equals(readFileSync(one))).toBe(true);
    qemuImg('compare', '-f', 'raw', '-F', 'qcow2', raw, one);
    expect(qemuCheck(one)).toMatchObject({ 'compressed-clusters': CLUSTERS / 2 });
  },
);

test('clusters that are given at once lie in the order of the calls', async () => {
  using folder = new Folder();
  const path = folder.file('image');
  const contents = makeContents();
  const order = Array.from({ length: CLUSTERS - 1 }, (_, i) => (i * 37) % (CLUSTERS - 1));
  {
    const options = { format: 'qcow2', size: contents.length, compressionType: 'zstd' } as const;
    await using disk = await createDisk(path, options);
    if (!(disk instanceof Qcow2Disk)) throw new Error('not qcow2');
    const write = (n: number) =>
      disk.writeCompressed(n * CLUSTER, contents.subarray(n * CLUSTER, (n + 1) * CLUSTER));
    await Promise.all(order.map(write));
  }
  const image = readFileSync(path);
  // A cluster that is random is stored as it is: where those lie shows the order of all.
  const places = order
    .filter((n) => n % 4 === 0)
    .map((n) => image.indexOf(contents.subarray(n * CLUSTER, n * CLUSTER + 64)));
  expect(places).not.toContain(-1);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
});
