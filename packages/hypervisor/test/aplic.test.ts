import { beforeEach, describe, expect, it } from 'vitest';
import { Aplic } from '../src/soft/aplic.ts';

// Offsets and bits of the AIA 1.0 specification, chapter 4, written out again so that the test does not share the code's.
const DOMAINCFG = 0x0000;
const IE = 0x100;
const SETIPNUM_LE = 0x2000;
const GENMSI = 0x3000;
const sourcecfg = (source: number) => 4 * source;
const target = (source: number) => 0x3000 + 4 * source;
const setip = (source: number) => 0x1c00 + 4 * (source >> 5);
const inClrip = (source: number) => 0x1d00 + 4 * (source >> 5);
const setie = (source: number) => 0x1e00 + 4 * (source >> 5);
const clrie = (source: number) => 0x1f00 + 4 * (source >> 5);

describe('Aplic', () => {
  let sent: [hart: number, identity: number][];
  let aplic: Aplic;

  beforeEach(() => {
    sent = [];
    aplic = new Aplic(new SharedArrayBuffer(Aplic.stateSize), 40, 2, (hart, identity) => {
      sent.push([hart, identity]);
    });
  });

  function route(source: number, mode: number, hart: number, identity: number): void {
    aplic.write(sourcecfg(source), mode);
    aplic.write(target(source), (hart << 18) | identity);
    aplic.write(setie(source), 1 << (source & 31));
    aplic.write(DOMAINCFG, IE);
  }

  it('is a little-endian domain that delivers by MSI only', () => {
    expect(aplic.read(DOMAINCFG)).toBe(0x8000_0004);
    aplic.write(DOMAINCFG, 0xffff_ffff);
    expect(aplic.read(DOMAINCFG)).toBe(0x8000_0104);
  });

  it('sends an MSI for a rising edge, and one only', () => {
    route(7, 4, 1, 33);
    aplic.line(7).set(true);
    aplic.line(7).set(true);
    aplic.line(7).set(false);
    expect(sent).toEqual([[1, 33]]);
    expect(aplic.read(setip(7))).toBe(0);
  });

  it('sends an MSI for a falling edge of an inverted source', () => {
    route(35, 5, 0, 9);
    aplic.line(35).set(true);
    expect(sent).toEqual([]);
    aplic.line(35).set(false);
    expect(sent).toEqual([[0, 9]]);
  });

  it('sends a level-sensitive interrupt again only when asked while the input is high', () => {
    route(3, 6, 0, 5);
    aplic.line(3).set(true);
    expect(sent).toEqual([[0, 5]]);
    aplic.write(SETIPNUM_LE, 3);
    expect(sent).toEqual([
      [0, 5],
      [0, 5],
    ]);
    aplic.line(3).set(false);
    aplic.write(SETIPNUM_LE, 3);
    expect(sent).toHaveLength(2);
  });

  it('keeps an edge pending until source and domain are enabled', () => {
    aplic.write(sourcecfg(2), 4);
    aplic.write(target(2), 17);
    aplic.line(2).set(true);
    expect(aplic.read(setip(2))).toBe(1 << 2);
    aplic.write(setie(2), 1 << 2);
    expect(sent).toEqual([]);
    aplic.write(DOMAINCFG, IE);
    expect(sent).toEqual([[0, 17]]);
    aplic.write(clrie(2), 1 << 2);
    expect(aplic.read(setie(2))).toBe(0);
  });

  it('shows rectified inputs in in_clrip', () => {
    route(1, 6, 0, 1);
    route(2, 7, 0, 2);
    expect(aplic.read(inClrip(1))).toBe(1 << 2);
    aplic.line(1).set(true);
    aplic.line(2).set(true);
    expect(aplic.read(inClrip(1))).toBe(1 << 1);
  });

  it('reads reserved modes, other sources and delegation as zero', () => {
    aplic.write(sourcecfg(1), 2);
    expect(aplic.read(sourcecfg(1))).toBe(0);
    aplic.write(sourcecfg(1), 0x406);
    expect(aplic.read(sourcecfg(1))).toBe(6);
    aplic.write(sourcecfg(41), 6);
    expect(aplic.read(sourcecfg(41))).toBe(0);
    aplic.write(sourcecfg(1), 0);
    expect(aplic.read(target(1))).toBe(0);
  });

  it('sends what genmsi says, to harts that exist', () => {
    aplic.write(GENMSI, (1 << 18) | 63);
    aplic.write(GENMSI, (2 << 18) | 63);
    expect(sent).toEqual([[1, 63]]);
  });

  it('refuses sources it does not have', () => {
    for (const source of [0, 41, 1.5, Number.NaN]) {
      expect(() => aplic.line(source)).toThrow(RangeError);
    }
  });
});
