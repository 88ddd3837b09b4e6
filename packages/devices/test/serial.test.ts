import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  ByteRing,
  createBusAccess,
  describeUart16550,
  FileSink,
  openSerialSink,
  SerialInput,
  SerialOutput,
  type SerialSink,
  StreamSink,
  Uart16550,
  UnixStreamSink,
} from '../src/index.ts';

/** Register offsets. */
const [RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const [THR, FCR] = [RBR, IIR];

function machine(options: { inputCapacity?: number } = {}) {
  const output = ByteRing.create(1024);
  const input = ByteRing.create(options.inputCapacity ?? 1024);
  const line = {
    level: false,
    set(level: boolean) {
      expect(level).not.toBe(line.level);
      line.level = level;
    },
  };
  const descriptor = describeUart16550({ output, input, interrupt: 1 });
  const uart = new Uart16550(structuredClone(descriptor), line);
  const access = createBusAccess();
  access.size = 1;
  const read = (register: number) => {
    access.offset = register;
    access.low = 0;
    uart.read(access);
    return access.low;
  };
  const write = (register: number, value: number) => {
    access.offset = register;
    access.low = value;
    uart.write(access);
  };
  return { output, input, line, uart, read, write, descriptor };
}

const text = (ring: ByteRing) => {
  const bytes = Buffer.from(ring.peek());
  ring.consume(bytes.length);
  return bytes.toString();
};

test('transmits what is written to THR, and the transmitter is always empty', () => {
  const { read, write, output } = machine();
  for (const character of Buffer.from('hello')) {
    expect(read(LSR) & 0x60).toBe(0x60);
    write(THR, character);
  }
  expect(text(output)).toBe('hello');
});

test('DLAB shows the divisor instead of data and interrupt enables', () => {
  const { read, write, output } = machine();
  write(IER, 0x0f);
  write(LCR, 0x83);
  write(0, 0x01);
  write(1, 0x02);
  expect([read(0), read(1)]).toEqual([1, 2]);
  write(LCR, 0x03);
  expect(read(IER)).toBe(0x0f);
  expect(output.available).toBe(0);
  write(SCR, 0x5a);
  expect([read(SCR), read(LCR)]).toEqual([0x5a, 0x03]);
});

test('the FIFO bits in IIR follow FCR, as 8250 drivers probe for a 16550A', () => {
  const { read, write } = machine();
  expect(read(IIR)).toBe(0x01);
  write(FCR, 0x01);
  expect(read(IIR)).toBe(0xc1);
  write(FCR, 0x00);
  expect(read(IIR)).toBe(0x01);
});

test('THRE is raised by enabling it and by writing THR, and cleared by reading IIR', () => {
  const { read, write, line } = machine();
  write(IER, 0x02);
  expect(line.level).toBe(true);
  expect(read(IIR)).toBe(0x02);
  expect(line.level).toBe(false);
  expect(read(IIR)).toBe(0x01);
  write(THR, 65);
  expect(line.level).toBe(true);
  write(IER, 0);
  expect(line.level).toBe(false);
});

test('received data interrupts with the trigger level, before it with a character timeout', () => {
  const { read, write, line, input, uart } = machine();
  write(FCR, 0x41); // FIFOs on, trigger at 4 bytes.
  write(IER, 0x03);
  expect(read(IIR)).toBe(0xc2);
  input.write(Buffer.from('abc'));
  uart.inputArrived();
  expect(line.level).toBe(true);
  expect(read(IIR)).toBe(0xcc);
  input.write(Buffer.from('d'));
  expect(read(IIR)).toBe(0xc4);
  write(THR, 65); // THRE is pending too, at a lower priority.
  expect(read(IIR)).toBe(0xc4);
  expect(read(LSR) & 1).toBe(1);
  expect(String.fromCharCode(read(RBR), read(RBR), read(RBR), read(RBR))).toBe('abcd');
  expect(read(LSR) & 1).toBe(0);
  expect(read(IIR)).toBe(0xc2);
  expect(line.level).toBe(false);
});

test('loopback receives what it transmits, reports overruns first, and turns MCR into MSR', () => {
  const { read, write, output, line } = machine();
  write(IER, 0x0c);
  write(MCR, 0x1f); // LOOP, OUT2, OUT1, RTS, DTR: all of MSR's levels; RI was off, the others on.
  expect(read(MSR)).toBe(0xf0);
  write(MCR, 0x10);
  expect(read(IIR)).toBe(0x00);
  expect(line.level).toBe(true);
  expect(read(MSR)).toBe(0x0f); // All levels fell.
  expect(line.level).toBe(false);
  write(THR, 1);
  write(THR, 2); // Without FIFOs there is room for one.
  expect(read(IIR)).toBe(0x06);
  expect(read(LSR)).toBe(0x63);
  expect(read(LSR)).toBe(0x61);
  expect(read(RBR)).toBe(1);
  expect(read(LSR)).toBe(0x60);
  expect(output.available).toBe(0);
});

test('input that comes before the driver survives the blind reads with which drivers start a port', () => {
  const { read, write, input } = machine();
  input.write(Buffer.from('ls\n'));
  // What Linux does to start a 16550A: clear the FIFOs, read everything once, set up, read everything once more.
  write(FCR, 0x01);
  write(FCR, 0x07);
  write(FCR, 0x00);
  for (const register of [LSR, RBR, IIR, MSR]) read(register);
  write(LCR, 0x03);
  write(MCR, 0x08);
  for (const register of [LSR, RBR, IIR, MSR]) read(register);
  write(IER, 0x05);
  expect(read(IIR)).toBe(0x04);
  expect(String.fromCharCode(read(RBR), read(RBR), read(RBR))).toBe('ls\n');
});

test('a driver that only polls receives too', () => {
  const { read, write, input } = machine();
  write(FCR, 0x07);
  input.write(Buffer.from('x'));
  let polls = 0;
  while ((read(LSR) & 1) === 0) expect(++polls).toBeLessThan(100);
  expect(read(RBR)).toBe(0x78);
});

test('a megabyte of input arrives whole while the guest reads at its own pace', async () => {
  const { read, write, input, uart, line } = machine({ inputCapacity: 4096 });
  write(FCR, 0x01);
  write(IER, 0x01);
  const serialInput = new SerialInput(input, () => uart.inputArrived());
  const sent = Buffer.from(Uint8Array.from({ length: 2 ** 20 }, (_, i) => (i * 7) >>> 3));
  const received: number[] = [];
  const finished = serialInput.write(sent);
  while (received.length < sent.length) {
    await new Promise(setImmediate);
    while (line.level) received.push(read(RBR));
  }
  await finished;
  expect(Buffer.compare(Buffer.from(received), sent)).toBe(0);
});

test('bytes of three vCPU threads, one of them past the port, interleave, and none is lost', async () => {
  const { descriptor, output } = machine();
  const counts = new Array<number>(251).fill(0);
  const sink: SerialSink = {
    name: 'test',
    async write(bytes) {
      for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
    },
    async [Symbol.asyncDispose]() {},
  };
  const count = 251 * 200;
  {
    await using _drain = new SerialOutput(output, sink);
    const workers = [false, false, true].map(
      (direct) =>
        new Worker(new URL('./support/transmitter.ts', import.meta.url), {
          workerData: { descriptor, count, direct },
        }),
    );
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  expect(counts).toEqual(new Array<number>(251).fill(600));
});

test('a vCPU thread that outruns the sink waits, and no byte is lost', async () => {
  const { descriptor, output } = machine();
  const chunks: Buffer[] = [];
  const sink: SerialSink = {
    name: 'test',
    async write(bytes) {
      chunks.push(Buffer.from(bytes));
      await new Promise(setImmediate);
    },
    async [Symbol.asyncDispose]() {},
  };
  const count = 300_000;
  {
    await using _drain = new SerialOutput(output, sink);
    const worker = new Worker(new URL('./support/transmitter.ts', import.meta.url), {
      workerData: { descriptor, count },
    });
    await once(worker, 'message');
    await worker.terminate();
  }
  const all = Buffer.concat(chunks);
  expect(all.length).toBe(count);
  expect(all.every((byte, i) => byte === i % 251)).toBe(true);
  expect(chunks.length).toBeLessThan(count / 10);
});

test('a sink that fails is reported once, and the guest goes on', async () => {
  const ring = ByteRing.create(16);
  const errors: Error[] = [];
  const sink: SerialSink = {
    name: 'the broken pipe',
    async write() {
      throw new Error('EPIPE');
    },
    async [Symbol.asyncDispose]() {},
  };
  const drain = new SerialOutput(ring, sink, { onError: (error) => errors.push(error) });
  for (let i = 0; i < 100; i++) {
    ring.push(i);
    await ring.roomAvailable();
  }
  await drain[Symbol.asyncDispose]();
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('broken pipe'),
  });
});

test('a closed ring drops what is written, and holds nobody up', () => {
  const ring = ByteRing.create(16);
  while (ring.push(1));
  ring.close();
  ring.waitForRoom();
  expect(ring.push(2)).toBe(true);
  expect(ring.write(new Uint8Array(100))).toBe(100);
  expect(ring.available).toBe(16);
});

test('a reader of standard output that goes away is an error of the write, not of the process', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
  await using sink = new StreamSink(stream, 'standard output');
  await expect(sink.write(Buffer.from('x'))).rejects.toThrow('EPIPE');
});

test('files are appended to and Unix stream sockets written to', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'serial-'));
  try {
    for (const _round of [1, 2]) {
      const ring = ByteRing.create();
      await using _drain = new SerialOutput(ring, await FileSink.open(join(directory, 'log')));
      ring.write(Buffer.from('line\n'));
    }
    expect(await readFile(join(directory, 'log'), 'utf8')).toBe('line\nline\n');

    const received: Buffer[] = [];
    const server = createServer((socket) => socket.on('data', (data: Buffer) => received.push(data)));
    server.listen(join(directory, 'socket'));
    await once(server, 'listening');
    const ring = ByteRing.create();
    {
      await using _drain = new SerialOutput(ring, await UnixStreamSink.connect(join(directory, 'socket')));
      ring.write(Buffer.from('over the socket'));
    }
    server.close();
    await once(server, 'close');
    expect(Buffer.concat(received).toString()).toBe('over the socket');
    await expect(UnixStreamSink.connect(join(directory, 'nobody'))).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
    });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('no sequence of register accesses throws, blocks, or leaves the line wrong', () => {
  const step = fc.record({
    register: fc.nat(7),
    value: fc.option(fc.nat(255)),
    size: fc.constantFrom(1, 2, 4, 8) as fc.Arbitrary<1 | 2 | 4 | 8>,
    input: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { uart, input, output, read, line } = machine();
      const access = createBusAccess();
      for (const { register, value, size, input: count } of steps) {
        input.write(new Uint8Array(count));
        uart.inputArrived();
        access.offset = register;
        access.size = size;
        access.low = access.high = value ?? 0;
        if (value === null) uart.read(access);
        else uart.write(access);
        output.consume(output.available);
        // Reading IIR may clear THRE, so the line has to agree before and after.
        const before = line.level;
        expect((read(IIR) & 1) === 0).toBe(before);
        if (line.level) expect(read(IIR) & 1).toBe(0);
      }
    }),
  );
});

test('sinks open by their type, and what cannot be is refused', async () => {
  await using sink = await openSerialSink({ type: 'sink' });
  await sink.write(Buffer.from('nobody reads this'));
  await expect(openSerialSink({ type: 'file', path: '/nonexistent/log' })).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
  });
});
