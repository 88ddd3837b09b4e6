import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { FileDescriptor, preadv, SystemError } from '@tsvmm/base';
import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../src/index.ts';

const SIZE = 0x20000;
const RESERVED = 0x30000;

/** (module (import "e" "m" (memory 1 65536 shared)) (func (export "load") (param i32) (result i32) local.get 0 i32.load)) */
const LOADER = Buffer.from(
  [
    '0061736d01000000', // magic, version
    '0106 01 60 017f 017f', // type: (i32) -> i32
    '020b 01 0165 016d 02 03 01 808004', // import e.m: a shared memory of 1 to 65536 pages
    '0302 01 00', // one function of type 0
    '0708 01 04 6c6f6164 00 00', // export load
    '0a09 01 07 00 2000 280200 0b', // its code
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);

function wasmLoad(memory: WebAssembly.Memory): (address: number) => number {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(LOADER), { e: { m: memory } });
  return instance.exports.load as (address: number) => number;
}

describe('guest memory inside of a WebAssembly memory', () => {
  it.each(['file', 'anonymous'] as const)('appears after the reserved area (%s)', (backing) => {
    const wasm = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
    new Uint8Array(wasm.buffer).fill(0x11, 0, RESERVED);
    using memory = GuestMemory.create({
      regions: [{ base: 0x8000_0000, size: SIZE }],
      memory: wasm,
      memoryOffset: RESERVED,
      backing,
    });
    memory.writeUint32(0x8000_0010, 0x1234_5678);
    expect(wasmLoad(wasm)(RESERVED + 0x10)).toBe(0x1234_5678);
    expect(memory.hostOffset(0x8000_0010, 4)).toBe(RESERVED + 0x10);
    // What its maker has before RAM and after it is none of the guest's.
    expect(memory.hostBytes[RESERVED - 1]).toBe(0x11);
    expect(() => memory.readUint8(0x8000_0000 - 1)).toThrow(
      expect.objectContaining({ code: 'OUT_OF_RANGE' }),
    );
    expect(() => memory.readUint8(0x8000_0000 + SIZE)).toThrow(
      expect.objectContaining({ code: 'OUT_OF_RANGE' }),
    );
  });

  it('is what another process writes to the file', () => {
    const wasm = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
    using memory = GuestMemory.create({
      regions: [{ base: 0x8000_0000, size: SIZE }],
      memory: wasm,
      memoryOffset: RESERVED,
    });
    memory.writeUint32(0x8000_0000, 0x0bad_cafe);
    const script = `
import mmap, struct, sys
with open(sys.argv[1], 'r+b') as f:
    m = mmap.mmap(f.fileno(), ${SIZE})
    print(hex(struct.unpack('<I', m[0:4])[0]))
    m[${SIZE - 4}:${SIZE}] = struct.pack('<I', 0xabcdef01)
`;
    const seen = execFileSync('python3', ['-c', script, `/proc/${process.pid}/fd/${memory.fd}`], {
      encoding: 'utf8',
    });
    expect(seen.trim()).toBe('0xbadcafe');
    expect(memory.readUint32(0x8000_0000 + SIZE - 4)).toBe(0xabcdef01);
    expect(wasmLoad(wasm)(RESERVED + SIZE - 4) >>> 0).toBe(0xabcdef01);
  });

  it('takes bytes of a file without a copy in between', () => {
    using memory = GuestMemory.create({ regions: [{ base: 0x1000, size: SIZE }] });
    using file = FileDescriptor.open(new URL(import.meta.url).pathname, 'read');
    const segments = Float64Array.of(memory.hostOffset(0x2003, 10), 10, memory.hostOffset(0x1001, 16), 16);
    expect(preadv(file.number, 0, memory.hostBytes, segments, 2)).toBe(26);
    const text = [...memory.bytes(0x2003, 10), ...memory.bytes(0x1001, 16)];
    expect(String.fromCharCode(...text)).toBe('import { execFileSync, for');
  });
});

describe('attaching', () => {
  it.each(['file', 'anonymous'] as const)('works in another thread (%s)', async (backing) => {
    using memory = GuestMemory.create({
      regions: [
        { base: 0x1000, size: 0x1000 },
        { base: 0x8000_0000, size: SIZE },
      ],
      memory: new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }),
      memoryOffset: RESERVED,
      backing,
    });
    memory.writeUint53(0x8000_0100, 2 ** 52 + 1);
    const worker = new Worker(new URL('attach-worker.ts', import.meta.url), {
      workerData: memory.descriptor(),
    });
    // Together: an end that comes in the same turn as the message would be missed by who waits for it afterwards.
    const [[answer]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    expect(answer).toEqual({ read: 2 ** 52 + 1, isWasm: true, offset: RESERVED + 0x1000 });
    expect(memory.loadUint32(0x1ffc)).toBe(0xfeed);
  });

  it('works in another process', async () => {
    using memory = GuestMemory.create({
      regions: [
        { base: 0x1000, size: 0x1000 },
        { base: 0x8000_0000, size: SIZE },
      ],
    });
    memory.writeUint53(0x8000_0100, 77);
    const child = fork(
      new URL('attach-child.ts', import.meta.url),
      [JSON.stringify(memory.processDescriptor())],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc', memory.fd ?? 'ignore'],
      },
    );
    const [[answer]] = await Promise.all([once(child, 'message'), once(child, 'exit')]);
    expect(answer).toBe(77);
    expect(memory.readUint32(0x1ffc)).toBe(0xbeef);
  });

  it('appears in the WebAssembly memory of who attaches', () => {
    using memory = GuestMemory.create({ regions: [{ base: 0, size: SIZE }] });
    memory.writeUint32(8, 99);
    const wasm = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
    const attached = GuestMemory.attach({
      ...memory.processDescriptor(),
      memory: wasm,
      memoryOffset: RESERVED,
    });
    expect(wasmLoad(wasm)(RESERVED + 8)).toBe(99);
    attached.writeUint32(8, 100);
    expect(memory.readUint32(8)).toBe(100);
  });

  it('refuses files that are too small, not sealed or not open', () => {
    using memory = GuestMemory.create({ regions: [{ base: 0, size: SIZE }] });
    const invalid = expect.objectContaining({ code: 'INVALID_LAYOUT' });
    const descriptor = memory.processDescriptor();
    expect(() => GuestMemory.attach({ ...descriptor, regions: [{ base: 0, size: 2 * SIZE }] })).toThrow(
      invalid,
    );
    using file = FileDescriptor.open(process.execPath, 'read');
    expect(() => GuestMemory.attach({ ...descriptor, fd: file.number })).toThrow(invalid);
    expect(() => GuestMemory.attach({ ...descriptor, fd: 1_000_000 })).toThrow(SystemError);
  });

  it('needs a file to go to another process', () => {
    using memory = GuestMemory.create({ regions: [{ base: 0, size: SIZE }], backing: 'anonymous' });
    expect(memory.fd).toBeUndefined();
    expect(() => memory.processDescriptor()).toThrow(expect.objectContaining({ code: 'NOT_SHAREABLE' }));
  });
});
