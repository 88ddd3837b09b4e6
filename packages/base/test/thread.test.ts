import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  affinity,
  monotonicMicroseconds,
  readMonotonicNanoseconds,
  setAffinity,
  setThreadName,
  threadId,
} from '../src/index.ts';
import { codeOf, python } from './support.ts';

describe('the calling thread', () => {
  it('is the one the kernel knows', () => {
    setThreadName('tsvmm-test');
    expect(readFileSync(`/proc/self/task/${threadId()}/comm`, 'utf8').trim()).toBe('tsvmm-test');
    expect(codeOf(() => setThreadName('sixteen bytes ..'))).toBe('EINVAL');
  });

  it('runs where it is told to', () => {
    const all = affinity();
    const [first = 0] = all;
    setAffinity([first]);
    expect(affinity()).toEqual([first]);
    expect(python(`import os; print(os.sched_getaffinity(${threadId()}))`)).toBe(`{${first}}`);
    setAffinity(all);
    expect(affinity()).toEqual(all);
    for (const nowhere of [[], [-1], [8192], [8191]])
      expect(codeOf(() => setAffinity(nowhere))).toBe('EINVAL');
  });
});

describe('monotonic time', () => {
  it('is the same clock in both forms and in other processes', () => {
    const words = new Int32Array(4);
    const before = monotonicMicroseconds();
    const elsewhere = Number(python('import time; print(time.monotonic() * 1e6)'));
    readMonotonicNanoseconds(words, 1);
    const after = monotonicMicroseconds();
    const nanoseconds = (BigInt(words[2] ?? 0) << 32n) | BigInt((words[1] ?? 0) >>> 0);
    const microseconds = Number(nanoseconds) / 1000;
    const order = [before, elsewhere, microseconds, after];
    expect(order.toSorted((a, b) => a - b)).toEqual(order);
    expect([words[0], words[3]]).toEqual([0, 0]);
    expect(codeOf(() => readMonotonicNanoseconds(words, 3))).toBe('EINVAL');
    expect(codeOf(() => readMonotonicNanoseconds(new Int32Array(1)))).toBe('EINVAL');
  });
});
