import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { EventFd, FileDescriptor, MemFd, Poll, pipe, Timer, UnixListener, UnixSocket } from '../src/index.ts';
import { codeOf, openDescriptors } from './support.ts';

const buffer = new Uint8Array(8);

function cycle(index: number): void {
  using event = EventFd.create();
  using copy = event.descriptor.duplicate();
  using _borrowed = EventFd.fromDescriptor(copy.number);
  using memory = MemFd.create({ name: 'cycle', size: 4096 });
  using timer = new Timer();
  using poll = new Poll();
  poll.add(event.descriptor.number, 1);
  using _watcher = event.onReadable(() => {});
  using _timerWatcher = timer.onExpired(() => {});
  const [near, far] = UnixSocket.pair(index % 2 === 0 ? 'stream' : 'seqpacket');
  using _near = near;
  using _far = far;
  near.sendMessage(buffer, [event.descriptor, memory.descriptor]);
  if (index % 3 === 0) codeOf(() => far.receiveMessage(buffer, 1));
  else
    for (const descriptor of far.receiveMessage(buffer, 2)?.descriptors ?? []) descriptor[Symbol.dispose]();
  // This one is never received: it goes with the socket.
  near.sendMessage(buffer, [timer.descriptor]);
  const name = `\0tsvmm-leak-${process.pid}-${index}`;
  using listener = UnixListener.listen(name);
  using _client = UnixSocket.connect(name);
  using _server = listener.accept();
  const { reader, writer } = pipe();
  using _reader = reader;
  using _writer = writer;
  using _file = FileDescriptor.open('/dev/null', 'readWrite');
}

it('leaks no descriptor in a thousand cycles', async () => {
  cycle(0);
  await setImmediate();
  const before = openDescriptors();
  for (let i = 0; i < 1000; i++) {
    cycle(i);
    if (i % 100 === 0) await setImmediate();
  }
  await setImmediate();
  expect(openDescriptors()).toEqual(before);
});

it('leaks nothing when threads end while they watch', async () => {
  using event = EventFd.create();
  const watch = async () => {
    const worker = new Worker(new URL('watching-worker.ts', import.meta.url), {
      workerData: event.descriptor.number,
    });
    await once(worker, 'message');
    await worker.terminate();
  };
  await watch();
  const before = openDescriptors().length;
  for (let i = 0; i < 8; i++) await watch();
  expect(openDescriptors().length).toBe(before);
});

it('closes a descriptor once, and knows when it is closed', () => {
  const event = EventFd.create();
  const { number } = event.descriptor;
  event[Symbol.dispose]();
  expect(event.descriptor.isOpen).toBe(false);
  using next = EventFd.create();
  expect(next.descriptor.number).toBe(number);
  event[Symbol.dispose]();
  next.signal();
  expect(codeOf(() => event.signal())).toBe('EBADF');
  const released = new FileDescriptor(next.descriptor.duplicate().release());
  expect(released.isOpen).toBe(true);
  released[Symbol.dispose]();
  for (const nonsense of [-1, 0.5, Number.NaN, 2 ** 31])
    expect(codeOf(() => new FileDescriptor(nonsense))).toBe('EINVAL');
  expect(codeOf(() => FileDescriptor.duplicateOf(1_000_000))).toBe('EBADF');
});
