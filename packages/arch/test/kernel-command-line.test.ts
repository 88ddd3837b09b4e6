import { describe, expect, it } from 'vitest';
import { KernelCommandLine } from '../src/kernel-command-line.ts';

describe('KernelCommandLine', () => {
  it('joins words with one space', () => {
    const line = new KernelCommandLine(100)
      .append('panic=-1')
      .insert('root', '/dev/vda')
      .append('')
      .append('ro quiet');
    expect(String(line)).toBe('panic=-1 root=/dev/vda ro quiet');
  });

  it('takes exactly the characters the guest has room for', () => {
    const line = new KernelCommandLine(7).append('abc').append('def');
    expect(String(line)).toBe('abc def');
    expect(() => line.append('g')).toThrow(/9 characters long, and the guest takes 7/);
    expect(String(line)).toBe('abc def');
  });

  it('refuses what the boot protocol cannot carry, and says where', () => {
    expect(() => new KernelCommandLine(100).append('a\nb')).toThrow(/U\+000a at position 1/);
    expect(() => new KernelCommandLine(100).append('tsvmm=ü')).toThrow(/U\+00fc/);
    expect(() => new KernelCommandLine(100).insert('a b', 'c')).toThrow(/not one kernel parameter/);
    expect(() => new KernelCommandLine(100).insert('a', 'b c')).toThrow(/not one kernel parameter/);
  });
});
