import { GuestMemory } from '../src/index.ts';

const memory = GuestMemory.attach({ ...JSON.parse(process.argv[2] ?? ''), fd: 4 });
memory.writeUint32(0x1ffc, 0xbeef);
const { send } = process;
send?.call(process, memory.readUint53(0x8000_0100), undefined, undefined, () => process.disconnect());
