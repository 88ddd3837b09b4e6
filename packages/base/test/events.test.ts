import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import {
  EventFd,
  FileDescriptor,
  MemFd,
  monotonicMicroseconds,
  Poll,
  pipe,
  Readiness,
  setNonBlocking,
  Timer,
  UnixSocket,
  Watcher,
  writeFully,
} from '../src/index.ts';
import { codeOf } from './support.ts';

describe('EventFd', () => {
  it('adds signals up and hands them out once', () => {
    using event = EventFd.create(2);
    event.signal();
    event.signal(40);
    expect(event.tryRead()).toBe(43);
    expect(event.tryRead()).toBe(0);
    expect(event.wait(0)).toBe(0);
    expect(event.wait(1.5)).toBe(0);
  });

  it('stays signalled when it is full', () => {
    using event = EventFd.create();
    for (let i = 0; i < 2050; i++) event.signal(Number.MAX_SAFE_INTEGER);
    expect(event.tryRead()).toBeGreaterThan(2 ** 63);
  });

  it('wakes a thread that blocks, which answers', async () => {
    using request = EventFd.create();
    using answer = EventFd.create();
    const worker = new Worker(new URL('echo-worker.ts', import.meta.url), {
      workerData: { request: request.descriptor.number, answer: answer.descriptor.number },
    });
    for (let i = 1; i <= 100; i++) {
      request.signal(i);
      expect(answer.wait()).toBe(i + 1);
    }
    request.signal(1000);
    await once(worker, 'exit');
    // The worker borrowed the descriptors: they are still open.
    expect(request.tryRead()).toBe(0);
  });

  it('never blocks in tryRead, whatever others make of the open file', () => {
    using event = EventFd.create();
    setNonBlocking(event.descriptor.number, false);
    expect(event.tryRead()).toBe(0);
    event.signal();
    expect(event.tryRead()).toBe(1);
    const { reader, writer } = pipe();
    using notAnEvent = new EventFd(reader);
    expect(notAnEvent.tryRead()).toBe(0);
    writeFully(writer.number, Uint8Array.of(1, 2, 3));
    expect(codeOf(() => notAnEvent.tryRead())).toBe('EINVAL');
    writer[Symbol.dispose]();
    expect(codeOf(() => notAnEvent.wait())).toBe('EINVAL');
  });

  it('calls back on the event loop', async () => {
    using event = EventFd.create();
    const { promise, resolve } = Promise.withResolvers<number[]>();
    const counts: number[] = [];
    using watcher = event.onReadable((count) => {
      counts.push(count);
      if (counts.length < 3) event.signal(counts.length * 10);
      else resolve(counts);
    });
    watcher.unref().ref();
    event.signal(5);
    expect(await promise).toEqual([5, 10, 20]);
  });

  it('is refused a signal that is no count', () => {
    using event = EventFd.create();
    for (const count of [-1, 0.5, Number.NaN, 2 ** 53])
      expect(codeOf(() => event.signal(count))).toBe('EINVAL');
    expect(codeOf(() => EventFd.create(-1))).toBe('EINVAL');
    expect(codeOf(() => EventFd.fromDescriptor(1_000_000).signal())).toBe('EBADF');
    expect(codeOf(() => EventFd.fromDescriptor(1_000_000).wait())).toBe('EBADF');
    expect(codeOf(() => event.wait(Number.NaN))).toBe('EINVAL');
  });
});

describe('Watcher', () => {
  it('survives its descriptor, in whatever order they go', async () => {
    const first = EventFd.create();
    const { promise, resolve } = Promise.withResolvers<void>();
    const watcher = new Watcher(first.descriptor.number, Readiness.readable, () => resolve());
    first.signal();
    first[Symbol.dispose]();
    using _ = EventFd.create();
    await promise;
    watcher[Symbol.dispose]();
    watcher[Symbol.dispose]();
  });

  it('reports room to write, and the end of the other side', async () => {
    const [near, far] = UnixSocket.pair();
    const writable = Promise.withResolvers<number>();
    using onWritable = new Watcher(near.descriptor.number, Readiness.writable, (readiness) => {
      writable.resolve(readiness);
      onWritable[Symbol.dispose]();
    });
    expect(await writable.promise).toBe(Readiness.writable);
    const readable = Promise.withResolvers<void>();
    using _ = near.onReadable(() => readable.resolve());
    far[Symbol.dispose]();
    await readable.promise;
    expect(near.tryReceiveMessage(new Uint8Array(1))?.length).toBe(0);
    near[Symbol.dispose]();
  });

  it('hands exceptions of the callback to the process, and lets a thread end', async () => {
    const worker = new Worker(new URL('throwing-worker.ts', import.meta.url));
    const [error] = await once(worker, 'error');
    expect(error.message).toBe('thrown by the callback');
  });

  it('does not outlive its thread', async () => {
    using event = EventFd.create();
    const worker = new Worker(new URL('watching-worker.ts', import.meta.url), {
      workerData: event.descriptor.number,
    });
    await once(worker, 'message');
    await worker.terminate();
    event.signal();
    expect(event.tryRead()).toBe(1);
  });

  it('refuses what cannot be watched', () => {
    using file = FileDescriptor.open(process.execPath, 'read');
    expect(codeOf(() => new Watcher(file.number, Readiness.readable, () => {}))).toBe('EPERM');
    expect(codeOf(() => new Watcher(1_000_000, Readiness.readable, () => {}))).toBe('EBADF');
    expect(codeOf(() => new Watcher(0, 0, () => {}))).toBe('EINVAL');
  });
});

describe('Poll', () => {
  it('tells which of many descriptors are ready', () => {
    using poll = new Poll();
    const events = Array.from({ length: 50 }, () => EventFd.create());
    for (const [token, event] of events.entries()) poll.add(event.descriptor.number, token);
    expect(poll.wait(0)).toBe(0);
    for (const token of [3, 17, 49]) events[token]?.signal();
    expect(poll.wait()).toBe(3);
    const ready = [0, 1, 2].map((index) => [poll.token(index), poll.readiness(index)]);
    expect(ready.toSorted()).toEqual([
      [17, Readiness.readable],
      [3, Readiness.readable],
      [49, Readiness.readable],
    ]);
    poll.remove(events[17]?.descriptor.number ?? -1);
    events[3]?.tryRead();
    expect(poll.wait()).toBe(1);
    expect(poll.token(0)).toBe(49);
    for (const event of events) event[Symbol.dispose]();
  });

  it('honours edges, one-shot watches and changed tokens', () => {
    using poll = new Poll(4);
    using event = EventFd.create(1);
    const fd = event.descriptor.number;
    poll.add(fd, 1, Readiness.readable | Readiness.edgeTriggered);
    expect([poll.wait(0), poll.wait(0)]).toEqual([1, 0]);
    poll.change(fd, 2, Readiness.readable | Readiness.oneShot);
    expect([poll.wait(0), poll.token(0), poll.wait(0)]).toEqual([1, 2, 0]);
    poll.change(fd, 2_147_483_647, Readiness.readable);
    expect([poll.wait(0), poll.token(0), poll.wait(0)]).toEqual([1, 2_147_483_647, 1]);
  });

  it('reports the end of a connection', () => {
    using poll = new Poll();
    const [near, far] = UnixSocket.pair();
    poll.add(near.descriptor.number, 0);
    far[Symbol.dispose]();
    expect(poll.wait()).toBe(1);
    expect(poll.readiness(0)).toBe(Readiness.readable | Readiness.hungUp);
    near[Symbol.dispose]();
  });

  it('reports at most what there is room for', () => {
    using poll = new Poll(2);
    const events = Array.from({ length: 5 }, () => EventFd.create(1));
    for (const [token, event] of events.entries()) poll.add(event.descriptor.number, token);
    const seen = new Set<number>();
    while (seen.size < 5) {
      const count = poll.wait();
      expect(count).toBeLessThanOrEqual(2);
      for (let i = 0; i < count; i++) {
        seen.add(poll.token(i));
        events[poll.token(i)]?.tryRead();
      }
    }
    for (const event of events) event[Symbol.dispose]();
  });

  it('refuses what it cannot watch', () => {
    using poll = new Poll();
    using event = EventFd.create();
    poll.add(event.descriptor.number, 1);
    expect(codeOf(() => poll.add(event.descriptor.number, 1))).toBe('EEXIST');
    expect(codeOf(() => poll.add(1_000_000, 1))).toBe('EBADF');
    expect(codeOf(() => poll.remove(0))).toBe('ENOENT');
    expect(codeOf(() => poll.change(event.descriptor.number, -1, 1))).toBe('EINVAL');
    expect(codeOf(() => poll.change(event.descriptor.number, 1, 64))).toBe('EINVAL');
    using memory = MemFd.create({ name: 'x', size: 1 });
    expect(codeOf(() => poll.add(memory.descriptor.number, 1))).toBe('EPERM');
    expect(codeOf(() => new Poll(0).wait())).toBe('EINVAL');
  });
});

describe('Timer', () => {
  it('expires once, after its time', () => {
    using timer = new Timer();
    const before = monotonicMicroseconds();
    timer.arm(3_000_000);
    expect(timer.wait()).toBe(1);
    expect(monotonicMicroseconds() - before).toBeGreaterThanOrEqual(3000);
    expect(timer.tryRead()).toBe(0);
  });

  it('expires at a time of the clock, at once when that is past', () => {
    using timer = new Timer();
    const deadline = monotonicMicroseconds() + 2000;
    timer.armAt(deadline * 1000);
    expect(timer.wait()).toBe(1);
    // A number of nanoseconds has 53 bits: that is a microsecond on a host that has run for years.
    expect(monotonicMicroseconds()).toBeGreaterThanOrEqual(deadline - 1);
    timer.armAt(0);
    expect(timer.wait()).toBe(1);
    using realtime = new Timer('realtime');
    realtime.armAt(Date.now() * 1e6 - 1e9);
    expect(realtime.wait()).toBe(1);
  });

  it('expires periodically on the event loop until it is disarmed', async () => {
    using timer = new Timer();
    const { promise, resolve } = Promise.withResolvers<void>();
    let expirations = 0;
    using _ = timer.onExpired((count) => {
      expirations += count;
      if (expirations >= 5) resolve();
    });
    timer.arm(0, 500_000);
    await promise;
    timer.disarm();
    expect(timer.wait(2)).toBe(0);
  });

  it('refuses times that are none', () => {
    using timer = new Timer();
    for (const time of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(codeOf(() => timer.arm(time))).toBe('EINVAL');
  });
});
