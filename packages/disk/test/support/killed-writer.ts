import { openDisk } from '../../src/index.ts';

/** Writes until it is killed, and says after each flush what is on stable storage: block n of 5000 bytes holds n + 1. */
const [path = '', first = '0'] = process.argv.slice(2);
const disk = await openDisk(path, { writable: true, l2CacheBytes: 0 });
for (let n = Number(first); ; n++) {
  await disk.write((n * 5000 * 37) % 8_000_000, new Uint8Array(5000).fill((n % 255) + 1));
  if (n % 3 === 0) {
    await disk.flush();
    process.stdout.write(`${n}\n`);
  }
  if (n % 7 === 0) await disk.discard(9_000_000, 500_000);
  if (n % 5 === 0) await disk.write(9_000_000 + (n % 100) * 4096, new Uint8Array(4096).fill(9));
}
