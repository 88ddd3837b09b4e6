// What a call costs, in nanoseconds: `node packages/base/bench/primitives.ts`. The ratios say what is worth avoiding on a
// hot path; Node's own readSync and hrtime in the same run are the yardsticks.
import { openSync, readSync } from 'node:fs';
import {
  EventFd,
  MemFd,
  mapShared,
  monotonicMicroseconds,
  Poll,
  preadv,
  readMonotonicNanoseconds,
} from '../src/index.ts';

function measure(name: string, action: () => void): void {
  const rounds = 200_000;
  for (let i = 0; i < rounds / 10; i++) action();
  const times = Array.from({ length: 5 }, () => {
    const start = monotonicMicroseconds();
    for (let i = 0; i < rounds; i++) action();
    return ((monotonicMicroseconds() - start) * 1000) / rounds;
  }).toSorted((a, b) => a - b);
  console.log(`${name.padEnd(48)} ${times[2]?.toFixed(0).padStart(7)} ns`);
}

using event = EventFd.create();
using poll = new Poll();
poll.add(event.descriptor.number, 1);
using memory = MemFd.create({ name: 'bench', size: 1 << 20 });
const target = new Uint8Array(mapShared(memory.descriptor.number, 0, 1 << 20).buffer);
const file = openSync('/dev/zero', 'r');
const words = new Int32Array(2);
const buffer = new Uint8Array(4096);
const one = Float64Array.of(4096, 4096);
const eight = Float64Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? index * 4096 : 512));

measure('process.hrtime.bigint()', () => process.hrtime.bigint());
measure('monotonicMicroseconds()', () => monotonicMicroseconds());
measure('readMonotonicNanoseconds(words)', () => readMonotonicNanoseconds(words));
measure('EventFd.tryRead(), nothing there', () => event.tryRead());
measure('EventFd.signal() and tryRead()', () => {
  event.signal();
  event.tryRead();
});
measure('Poll.wait(0), nothing there', () => poll.wait(0));
measure('fs.readSync of 4 KiB of /dev/zero', () => readSync(file, buffer, 0, 4096, 0));
measure('preadv of 4 KiB of /dev/zero', () => preadv(file, 0, target, one, 1));
measure('preadv of 8 segments of 512 bytes', () => preadv(file, 0, target, eight, 8));
