import { describe, expect, test } from 'vitest';
import { UsageError } from '../src/errors.ts';
import { LOG_LEVELS, LogFilter } from '../src/log-filter.ts';

describe('a filter', () => {
  test.each<[string, string, string]>([
    ['info', 'tsvmm', 'error warn info'],
    ['off', 'tsvmm', ''],
    ['TRACE', 'tsvmm', 'error warn info debug trace'],
    ['debug,disk=off', 'disk', ''],
    ['debug,disk=off', 'disk::qcow2', ''],
    ['debug,disk=off', 'disks', 'error warn info debug'],
    ['disk=debug', 'other', 'error warn info'],
    ['warn,devices=info,devices::virtio=trace', 'devices::virtio::block', 'error warn info debug trace'],
    ['warn,devices::virtio=trace,devices=info', 'devices::serial', 'error warn info'],
  ])('%s for %s', (text, target, levels) => {
    const filter = LogFilter.parse(text);
    const shown = LOG_LEVELS.filter((level) => level !== 'off' && filter.allows(level, target));
    expect(shown.join(' ')).toBe(levels);
  });

  test.each([
    ['inf', 'did you mean info?'],
    ['', 'there are off, error'],
    ['=debug', 'a part is missing'],
    ['disk=', 'there are off'],
  ])('%j is refused', (text, message) => {
    expect(() => LogFilter.parse(text)).toThrow(UsageError);
    expect(() => LogFilter.parse(text)).toThrow(message);
  });
});
