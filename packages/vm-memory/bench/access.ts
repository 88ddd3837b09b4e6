// What a checked access costs beside the unchecked one: `node packages/vm-memory/bench/access.ts`.
import { GuestMemory } from '../src/index.ts';

const LOW = 0x1000;
const HIGH = 0x8000_0000;
const ROUNDS = 1e7;

using memory = GuestMemory.create({
  regions: [
    { base: 0, size: 0xa_0000 },
    { base: HIGH, size: 256 << 20 },
  ],
});
const view = new DataView(memory.buffer);
const halves = new Uint16Array(memory.buffer);
const offset = memory.hostOffset(HIGH, 4);

function measure(name: string, run: () => number): void {
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now();
    run();
    return ((performance.now() - start) * 1e6) / ROUNDS;
  }).toSorted((a, b) => a - b);
  console.log(`${name.padEnd(36)} ${times[3]?.toFixed(1).padStart(6)} ns`);
}

measure('DataView.getUint32, unchecked', () => {
  let sum = 0;
  for (let i = 0; i < ROUNDS; i++) sum = (sum + view.getUint32(offset + ((i * 4) & 0xfff), true)) | 0;
  return sum;
});
measure('readUint32, one region', () => {
  let sum = 0;
  for (let i = 0; i < ROUNDS; i++) sum = (sum + memory.readUint32(HIGH + ((i * 4) & 0xfff))) | 0;
  return sum;
});
measure('readUint32, regions in turn', () => {
  let sum = 0;
  for (let i = 0; i < ROUNDS; i++) sum = (sum + memory.readUint32(i & 1 ? LOW : HIGH)) | 0;
  return sum;
});
measure('Atomics.load, unchecked', () => {
  let sum = 0;
  for (let i = 0; i < ROUNDS; i++) sum = (sum + Atomics.load(halves, (offset + ((i * 4) & 0xfff)) >>> 1)) | 0;
  return sum;
});
measure('loadUint16', () => {
  let sum = 0;
  for (let i = 0; i < ROUNDS; i++) sum = (sum + memory.loadUint16(HIGH + ((i * 4) & 0xfff))) | 0;
  return sum;
});
