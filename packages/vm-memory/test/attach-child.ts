import { GuestMemory } from '../src/index.ts';

const memory = GuestMemory.attach({ ...JSON.parse(process.argv[2] ?? ''), fd: 4 });
memory.writeUint32(0x1ffc, 0xbeef);
process.send?.(memory.readUint53(0x8000_0100));
