import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { lockFile } from '../src/lock.ts';
import { TemporaryDirectory } from './support/temporary.ts';

const isFree = (path: string) => {
  try {
    execFileSync('flock', ['-n', path, 'true']);
    return true;
  } catch {
    return false;
  }
};

test('flock(1) sees the lock until it is disposed', async () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('sub', 'lock');
  {
    await using _lock = await lockFile(path, () => {});
    expect(isFree(path)).toBe(false);
  }
  expect(isFree(path)).toBe(true);
});

test('a second one says that it waits, and gets the lock after the first', async () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('lock');
  const events: string[] = [];
  const waits = Promise.withResolvers<void>();
  const first = await lockFile(path, () => {});
  const second = lockFile(path, () => {
    events.push('waits');
    waits.resolve();
  }).then((lock) => {
    events.push('second');
    return lock;
  });
  await waits.promise;
  events.push('first ends');
  await first[Symbol.asyncDispose]();
  await (await second)[Symbol.asyncDispose]();
  expect(events).toEqual(['waits', 'first ends', 'second']);
});

test('waiting ends when it is aborted', async () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('lock');
  await using _first = await lockFile(path, () => {});
  const controller = new AbortController();
  const waiting = lockFile(path, () => controller.abort(new Error('enough')), controller.signal);
  await expect(waiting).rejects.toThrow('enough');
});
