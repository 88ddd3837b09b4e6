import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { EventFd, Poll, pipe, Readiness, setNonBlocking } from '@tsvmm/base';
import { NO_ROOM } from '../executor.ts';
import type { ConformanceCase } from './case.ts';
import { openFile, pattern, Recorder, segmentsOf } from './recorder.ts';

const { ECANCELED } = constants.errno;

/** Waiting, cancelling, running full, coming to an end. */
export const lifetimeCases: readonly ConformanceCase[] = [
  {
    name: 'ends no request inside of the call that makes it',
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, pattern(100));
      const recorder = new Recorder();
      executor.read(file.fd, 0, segmentsOf(new Uint8Array(100), [0, 100]), recorder, 0);
      executor.sync(0x7fff_0000, true, recorder, 1);
      assert.equal(recorder.results.size, 0);
      assert.equal(executor.pending, 2);
      await recorder.ended(2);
      assert.equal(executor.pending, 0);
    },
  },
  {
    name: 'reads what a stream has, waits for it where that is nothing, and knows its end',
    async run({ open }) {
      await using executor = open();
      const { reader, writer } = pipe();
      using _reader = reader;
      setNonBlocking(reader.number, true);
      setNonBlocking(writer.number, true);
      const recorder = new Recorder();
      const memory = new Uint8Array(100);
      const segments = segmentsOf(memory, [0, 50], [50, 50]);
      executor.read(reader.number, -1, segments, recorder, 0);
      executor.flush();
      const given = pattern(60);
      executor.write(writer.number, -1, segmentsOf(given, [0, 60]), recorder, 1);
      const results = await recorder.ended(2);
      assert.deepEqual([results.get(0), results.get(1)], [60, 60]);
      assert.deepEqual(memory.slice(0, 60), given);
      const second = executor.read(reader.number, -1, segments, recorder, 2);
      executor.flush();
      executor.cancel(second);
      assert.equal((await recorder.ended(3)).get(2), -ECANCELED);
      executor.read(reader.number, -1, segments, recorder, 3);
      executor.flush();
      writer[Symbol.dispose]();
      assert.equal((await recorder.ended(4)).get(3), 0);
    },
  },
  {
    name: 'tells several waiters of one descriptor, and what became of it',
    async run({ open, folder }) {
      await using executor = open();
      using event = EventFd.create();
      using file = openFile(folder, pattern(1));
      const recorder = new Recorder();
      const both = Readiness.readable | Readiness.writable;
      executor.poll(event.descriptor.number, Readiness.readable, recorder, 0);
      executor.poll(event.descriptor.number, Readiness.readable, recorder, 1);
      executor.poll(event.descriptor.number, Readiness.writable, recorder, 2);
      executor.poll(file.fd, both, recorder, 3);
      await recorder.ended(2);
      assert.deepEqual([recorder.results.get(2), recorder.results.get(3)], [Readiness.writable, both]);
      event.signal();
      await recorder.ended(4);
      assert.deepEqual(
        [recorder.results.get(0), recorder.results.get(1)],
        [Readiness.readable, Readiness.readable],
      );
      const { reader, writer } = pipe();
      using _reader = reader;
      executor.poll(reader.number, Readiness.readable, recorder, 4);
      executor.flush();
      writer[Symbol.dispose]();
      assert.ok(((await recorder.ended(5)).get(4) ?? 0) & Readiness.hungUp);
    },
  },
  {
    name: 'ends timeouts in the order of their times',
    async run({ open }) {
      await using executor = open();
      const recorder = new Recorder();
      executor.timeout(60, recorder, 0);
      const never = executor.timeout(1e9, recorder, 1);
      executor.timeout(0, recorder, 2);
      executor.timeout(20.5, recorder, 3);
      await recorder.ended(3);
      executor.cancel(never);
      assert.deepEqual(
        [...(await recorder.ended(4))],
        [
          [2, 0],
          [3, 0],
          [0, 0],
          [1, -ECANCELED],
        ],
      );
      assert.throws(() => executor.timeout(-1, recorder, 5), { code: 'BAD_REQUEST' });
    },
  },
  {
    name: 'cancels a request once, and never one that has its slot later',
    async run({ open }) {
      await using executor = open(1);
      using event = EventFd.create();
      const recorder = new Recorder();
      const fd = event.descriptor.number;
      const first = executor.poll(fd, Readiness.readable, recorder, 0);
      executor.cancel(first);
      executor.cancel(first);
      assert.equal((await recorder.ended(1)).get(0), -ECANCELED);
      const second = executor.poll(fd, Readiness.readable, recorder, 1);
      assert.notEqual(second, first);
      executor.cancel(first);
      executor.flush();
      event.signal();
      assert.equal((await recorder.ended(2)).get(1), Readiness.readable);
      executor.cancel(second);
    },
  },
  {
    name: 'says when it is full, and loses no result of all slots at once',
    async run({ open }) {
      const capacity = 5;
      await using executor = open(capacity);
      using event = EventFd.create();
      const fd = event.descriptor.number;
      const recorder = new Recorder();
      const requests = Array.from({ length: capacity }, (_, token) =>
        executor.poll(fd, Readiness.readable, recorder, token),
      );
      assert.equal(executor.poll(fd, Readiness.readable, recorder, 99), NO_ROOM);
      const room = executor.room();
      executor.flush();
      // All requests and all cancellations leave their results before any is taken.
      for (const request of requests) executor.cancel(request);
      await room;
      await recorder.ended(capacity);
      assert.deepEqual(new Set(recorder.results.values()), new Set([-ECANCELED]));
      assert.equal(executor.pending, 0);
      await executor.room();
    },
  },
  {
    name: 'leaves the event loop its turns, whatever follows on what',
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, pattern(4096));
      const segments = segmentsOf(new Uint8Array(4096), [0, 4096]);
      let isOver = false;
      const { promise, resolve } = Promise.withResolvers<void>();
      const endless = {
        completed() {
          // What is in the page cache ends at once.
          if (isOver) resolve();
          else executor.read(file.fd, 0, segments, endless, 0);
        },
      };
      executor.read(file.fd, 0, segments, endless, 0);
      await new Promise<void>((turn) => setTimeout(turn, 1));
      isOver = true;
      await promise;
    },
  },
  {
    name: 'wakes a thread that blocks, whose event loop does not run',
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, pattern(4096));
      using event = EventFd.create();
      const recorder = new Recorder();
      using poll = new Poll();
      poll.add(executor.descriptor, 1);
      executor.sync(file.fd, true, recorder, 0);
      executor.timeout(5, recorder, 1);
      executor.poll(event.descriptor.number, Readiness.readable, recorder, 2);
      executor.flush();
      while (recorder.results.size < 2) {
        assert.equal(poll.wait(), 1);
        executor.reap();
      }
      event.signal();
      while (recorder.results.size < 3) {
        poll.wait();
        executor.reap();
      }
      assert.deepEqual(Object.fromEntries(recorder.results), { 0: 0, 1: 0, 2: Readiness.readable });
    },
  },
  {
    name: 'ends requests for a thread that does nothing but look',
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, pattern(4096));
      const recorder = new Recorder();
      executor.sync(file.fd, true, recorder, 0);
      executor.timeout(5, recorder, 1);
      executor.flush();
      let ended = recorder.results.size;
      while (ended < 2) ended += executor.look();
      assert.deepEqual(Object.fromEntries(recorder.results), { 0: 0, 1: 0 });
    },
  },
  {
    name: 'ends what is under way when it is disposed of, and refuses what comes later',
    async run({ open, folder }) {
      const executor = open(64);
      const contents = pattern(1 << 20);
      using file = openFile(folder, contents);
      using event = EventFd.create();
      const recorder = new Recorder();
      const memory = new Uint8Array(new SharedArrayBuffer(1 << 20));
      for (let i = 0; i < 16; i++) {
        executor.read(file.fd, i << 16, segmentsOf(memory, [i << 16, 1 << 16]), recorder, i);
        executor.sync(file.fd, true, recorder, 16 + i);
        executor.poll(event.descriptor.number, Readiness.readable, recorder, 32 + i);
        executor.timeout(1e9, recorder, 48 + i);
        if (i === 7) executor.flush();
      }
      const first = executor[Symbol.asyncDispose]();
      assert.throws(() => executor.sync(file.fd, true, recorder, 99), { code: 'CLOSED' });
      await Promise.all([first, executor[Symbol.asyncDispose]()]);
      assert.equal(recorder.results.size, 64);
      assert.equal(executor.pending, 0);
      for (const [token, result] of recorder.results) {
        if (token >= 32) assert.equal(result, -ECANCELED);
        else assert.ok(result === -ECANCELED || result === (token < 16 ? 1 << 16 : 0), `${token}: ${result}`);
      }
      for (let i = 0; i < 16; i++) {
        if (recorder.results.get(i) !== 1 << 16) continue;
        const range = [i << 16, (i + 1) << 16] as const;
        assert.ok(Buffer.compare(memory.subarray(...range), contents.subarray(...range)) === 0);
      }
    },
  },
];
