import { describe, expect, it } from 'vitest';
import { Deadlines } from '../src/soft/clock.ts';

function deadlines(harts: number): Deadlines {
  const result = new Deadlines(new SharedArrayBuffer(Deadlines.stateSize(harts)));
  result.clear();
  return result;
}

describe('Deadlines', () => {
  it('reports each deadline once, and a new one again', () => {
    const clock = deadlines(2);
    const expired: number[] = [];
    let time = 0;
    const look = () => {
      clock.end(); // so that wait looks once and does not sleep
      clock.wait(
        () => time,
        (hart) => expired.push(hart),
      );
    };
    clock.set(0, 100);
    clock.set(1, 50);
    look();
    expect(expired).toEqual([]);
    time = 60;
    look();
    look();
    expect(expired).toEqual([1]);
    clock.set(1, 50);
    time = 200;
    look();
    expect(expired).toEqual([1, 0, 1]);
  });

  it('keeps a deadline that is set while the previous one is reported', () => {
    const clock = deadlines(1);
    const expired: number[] = [];
    clock.set(0, 10);
    clock.end();
    clock.wait(
      () => 20,
      () => {
        expired.push(10);
        clock.set(0, 30);
      },
    );
    clock.wait(
      () => 40,
      () => expired.push(30),
    );
    expect(expired).toEqual([10, 30]);
  });

  it('sleeps until the earliest deadline', () => {
    const clock = deadlines(1);
    const start = performance.now();
    const now = () => (performance.now() - start) * 10_000;
    const expired: number[] = [];
    clock.set(0, 50_000);
    while (expired.length === 0) {
      expect(clock.wait(now, (hart) => expired.push(hart))).toBe(true);
    }
    expect(now()).toBeGreaterThanOrEqual(50_000);
  });
});
