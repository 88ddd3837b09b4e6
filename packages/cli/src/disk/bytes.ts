const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A number of bytes in the unit that makes it short, with at most three digits: `1.5 GiB`. */
export function shortBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

/** A number of bytes for people and for programs: `1.5 GiB (1610612736 bytes)`. */
export function longBytes(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${shortBytes(bytes)} (${bytes} bytes)`;
}
