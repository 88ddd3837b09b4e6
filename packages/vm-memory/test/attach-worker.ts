import { parentPort, workerData } from 'node:worker_threads';
import { GuestMemory } from '../src/index.ts';

const memory = GuestMemory.attach(workerData);
memory.storeUint32(0x1ffc, 0xfeed);
parentPort?.postMessage({
  read: memory.readUint53(0x8000_0100),
  isWasm: memory.memory instanceof WebAssembly.Memory,
  offset: memory.hostOffset(0x8000_0000, 1),
});
